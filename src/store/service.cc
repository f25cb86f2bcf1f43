#include "store/service.h"

#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "net/connection.h"
#include "store/connection.h"
#include "wire/frame.h"

namespace millrace::store {

StoreService::StoreService(StoreOptions options, std::vector<runtime::CoreLoop*> loops,
                           std::vector<ContainerHandle> containers)
    : options_(std::move(options)), loops_(std::move(loops)), router_(std::move(containers)), budgets_(options_) {
    MILLRACE_ASSERT(!loops_.empty());
    for (runtime::CoreLoop* loop : loops_) {
        states_.push_back(std::make_unique<LoopState>(*loop, router_, options_, budgets_));
        states_.back()->on_total_fell = [this] {
            for (auto& state : states_) state->executor.post([state = state.get()] { state->look_at_starved(); });
        };
    }
}

StoreService::~StoreService() { listener_.reset(); }

Result<> StoreService::start() {
    net::ListenerOptions options;
    options.address = options_.address;
    options.port = options_.port;
    options.flag = "--store-port";
    auto choose = [this]() -> runtime::CoreLoop& { return *loops_[next_loop_++ % loops_.size()]; };
    auto accepted = [this](runtime::CoreLoop& loop, net::Socket socket) {
        for (std::size_t i = 0; i < loops_.size(); ++i) {
            if (loops_[i] == &loop) return accept(*states_[i], loop, std::move(socket));
        }
    };
    auto listener = net::Listener::open(*loops_.front(), options, std::move(choose), std::move(accepted));
    if (!listener) return fail(std::move(listener.error()));
    listener_ = std::move(*listener);
    for (auto& state : states_) state->executor.post([state = state.get()] { state->start_sweeping(); });
    log::info("segment store listens on {}, {} containers", listener_->address(), router_.container_count());
    return {};
}

void StoreService::accept(LoopState& home, runtime::CoreLoop& loop, net::Socket socket) {
    if (stopping_.load(std::memory_order_relaxed)) return;
    if (connections() >= options_.max_connections) {
        home.counters.refused.add(1);
        return home.reasons.write(socket.peer(),
                                  fmt::format("{} connections are open already", options_.max_connections));
    }
    net::ConnectionOptions options;
    options.window_limit = static_cast<std::size_t>(wire::kMaxAppendBlockReceived) + 64 * kKiB;
    options.send_high = options_.send_queue_bytes_max;
    options.send_low = options_.send_queue_bytes_max / 4;
    auto transport = net::Connection::create(loop, std::move(socket), options);
    auto connection = std::make_shared<StoreConnection>(home, *transport);
    home.add(connection);
    transport->start(std::move(connection));
}

void StoreService::stop(runtime::Task stopped) {
    stopping_.store(true, std::memory_order_relaxed);
    if (listener_ != nullptr) listener_->close();
    // Counts down on the loops; the last one tells.
    struct Countdown {
        std::atomic<std::size_t> loops;
        runtime::Task stopped;
    };
    auto countdown = std::make_shared<Countdown>(states_.size(), std::move(stopped));
    for (auto& state : states_) {
        state->executor.post([state = state.get(), countdown]() mutable {
            state->close_all([countdown = std::move(countdown)] {
                if (countdown->loops.fetch_sub(1) == 1) countdown->stopped();
            });
        });
    }
}

std::uint16_t StoreService::port() const { return listener_ == nullptr ? 0 : listener_->port(); }

std::size_t StoreService::connections() const {
    std::size_t open = 0;
    for (const auto& state : states_) open += state->counters.accepted.get() - state->counters.closed.get();
    return open;
}

StoreStats StoreService::stats() const {
    StoreStats stats;
    for (const auto& state : states_) stats.add(state->counters);
    stats.outstanding_bytes = budgets_.credits.total();
    stats.read_reply_bytes = budgets_.reads.total();
    stats.standing_bytes = budgets_.standing.total();
    return stats;
}

}  // namespace millrace::store
