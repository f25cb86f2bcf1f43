// Coroutines for cold paths (workflows, start-up, recovery): Asio's awaitable on our executors. The only header of the
// tree that includes Asio's coroutines; keep it out of other headers, it costs seconds per file.
//
//   boost::asio::awaitable<void> recover(Log& log) {
//       auto start = [&log](Callback<Result<Frame>> done) { log.read(std::move(done)); };
//       Result<Frame> frame = co_await runtime::await<Result<Frame>>(start);
//       ...
//   runtime::spawn(loop, "recovery", recover(log));
//
// The rule that keeps g++ 12 correct: no lambda with captures and no braced temporary inside an expression with
// co_await. Name it on the line above, as here. And no co_await in a catch block.
#pragma once

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"
#include "runtime/executor.h"

namespace millrace::runtime {

// An Executor in Asio's eyes: everything is posted, nothing runs inline. So coroutines run on ManualExecutor too.
class AsioExecutor {
  public:
    explicit AsioExecutor(Executor& executor) : executor_(&executor) {}

    template <typename F>
    void execute(F function) const {
        executor_->post(Task(std::move(function)));
    }
    static boost::asio::execution_context& query(boost::asio::execution::context_t) {
        static boost::asio::execution_context services;  // Asio wants one; nothing is kept in it
        return services;
    }
    static constexpr boost::asio::execution::blocking_t query(boost::asio::execution::blocking_t) {
        return boost::asio::execution::blocking.never;
    }
    friend bool operator==(const AsioExecutor& a, const AsioExecutor& b) noexcept = default;

  private:
    Executor* executor_;
};

namespace async_detail {

// Keeps the coroutine's continuation until the callback comes, from whatever thread, and resumes the coroutine on its
// own executor. Never inline: a callback may come from within start().
template <typename T, typename Handler>
struct Resume {
    Handler handler;
    template <typename... Args>
    void operator()(Args&&... args) {
        auto executor = boost::asio::get_associated_executor(handler);
        executor.execute([handler = std::move(handler), ... args = T(std::forward<Args>(args))]() mutable {
            std::move(handler)(std::move(args)...);
        });
    }
};
template <typename Handler>
struct Resume<void, Handler> {
    Handler handler;
    void operator()() {
        auto executor = boost::asio::get_associated_executor(handler);
        executor.execute(std::move(handler));
    }
};

template <typename T>
struct CallbackOf {
    using type = Callback<T>;
    using signature = void(T);
};
template <>
struct CallbackOf<void> {
    using type = Callback<>;
    using signature = void();
};

// A type with a constructor, not an aggregate or a lambda: see the rule above.
template <typename T, typename Start>
struct Initiation {
    explicit Initiation(Start s) : start(std::move(s)) {}
    Start start;
    template <typename Handler>
    void operator()(Handler&& handler) {
        using Resumer = Resume<T, std::decay_t<Handler>>;
        start(typename CallbackOf<T>::type(Resumer{std::forward<Handler>(handler)}));
    }
};

struct LogEscaped {
    explicit LogEscaped(std::string n) : name(std::move(n)) {}
    std::string name;
    void operator()(std::exception_ptr escaped) const {
        if (!escaped) return;
        try {
            std::rethrow_exception(escaped);
        } catch (const std::exception& e) {
            log::error("coroutine {} ended by an exception: {}", name, e.what());
        } catch (...) {
            log::error("coroutine {} ended by an unknown exception", name);
        }
    }
};

}  // namespace async_detail

// Calls start(callback) and waits until the callback is called, once, from any thread. Not a coroutine itself. When the
// callback is destroyed instead, the waiting coroutine is destroyed.
template <typename T, typename Start>
boost::asio::awaitable<T> await(Start start) {
    using Signature = typename async_detail::CallbackOf<T>::signature;
    async_detail::Initiation<T, Start> initiation(std::move(start));
    return boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, Signature>(std::move(initiation),
                                                                                        boost::asio::use_awaitable);
}

// Starts `work` on `executor`, from any thread. An exception that escapes is logged under `name`.
inline void spawn(Executor& executor, std::string name, boost::asio::awaitable<void> work) {
    boost::asio::any_io_executor home = AsioExecutor(executor);
    async_detail::LogEscaped finished(std::move(name));
    boost::asio::co_spawn(home, std::move(work), std::move(finished));
}

// Waits on the executor's clock.
inline boost::asio::awaitable<void> sleep_for(Executor& executor, std::chrono::milliseconds delay) {
    auto start = [&executor, delay](Callback<> done) { executor.call_after(delay, std::move(done)); };
    return await<void>(start);
}

}  // namespace millrace::runtime
