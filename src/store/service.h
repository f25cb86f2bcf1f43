// StoreService: the segment store of this node. Listens, hands connections to the core loops in turn, and is the other
// rooms' way to segments (api(), traffic_api()).
//
// Life cycle: make with loops and started containers, which outlive it; start(); stop(), whose callback says that no
// connection is left. Containers are stopped after it. Destroyed when the loops have been stopped.
// Thread rule: start(), stop() and stats() from any thread; everything else happens on the connections' loops.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/error.h"
#include "net/listener.h"
#include "runtime/core_loop.h"
#include "store/loop_state.h"
#include "store/options.h"
#include "store/segment_router.h"
#include "store/stats.h"

namespace millrace::store {

class StoreService {
  public:
    // containers[i] is the one with id i.
    StoreService(StoreOptions options, std::vector<runtime::CoreLoop*> loops, std::vector<ContainerHandle> containers);
    ~StoreService();
    StoreService(const StoreService&) = delete;
    StoreService& operator=(const StoreService&) = delete;

    Result<> start();
    void stop(runtime::Task stopped);  // once; `stopped` runs on one of the loops

    std::uint16_t port() const;
    SegmentApi& api() { return router_; }
    TrafficApi& traffic_api() { return router_; }
    StoreStats stats() const;

  private:
    void accept(LoopState& home, runtime::CoreLoop& loop, net::Socket socket);
    std::size_t connections() const;

    const StoreOptions options_;
    const std::vector<runtime::CoreLoop*> loops_;
    SegmentRouter router_;
    Budgets budgets_;
    std::vector<std::unique_ptr<LoopState>> states_;  // as loops_
    std::unique_ptr<net::Listener> listener_;
    std::size_t next_loop_ = 0;  // on the listener's loop
    std::atomic<bool> stopping_{false};
};

}  // namespace millrace::store
