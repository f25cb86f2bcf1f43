#include "controller/periodic.h"

#include "runtime/async.h"

namespace millrace::controller {

void Periodic::start() {
    timer_ = executor_.call_after(period_, [this] { runtime::spawn(executor_, name_, run()); });
}

void Periodic::stop() { executor_.cancel(timer_); }

boost::asio::awaitable<void> Periodic::run() {
    runtime::Gate::Pass pass = gate_.enter();
    if (!pass) co_return;
    co_await work_();
    if (!gate_.closed()) start();
}

}  // namespace millrace::controller
