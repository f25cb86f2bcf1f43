// A node with a controller: begins on what its predecessor's death has left of the disk, dies at a write that was
// planned, also while it begins; and the segments' names that were ever made.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "controller/controller.h"
#include "sim/node.h"
#include "sim/watched_segments.h"
#include "store/segment_router.h"

namespace millrace::sim {

struct ControllerNodeOptions {
    std::uint64_t seed = 1;
    controller::TransactionOptions transactions;
    PlantedControl planted = PlantedControl::kNothing;
    bool dies_in_recovery = true;
};

class ControllerNode {
  public:
    ControllerNode(Random& random, const ControllerNodeOptions& options);
    ~ControllerNode();

    // False: it never gets up, and trouble() says why. The first start is without deaths.
    bool boot();
    bool die();                             // and boots; false as boot()
    bool settle();                          // whatever was begun comes to its end, over further deaths; false as boot()
    void end();                             // for good
    void plan_death(std::uint64_t within);  // at one of the next writes
    void plan_death_at(std::uint64_t write) { node_->disk().crash_at(node_->disk().operations() + 1 + write); }
    void spare() { plan_death_at(std::uint64_t{1} << 40); }  // what was planned does not happen
    bool must_die() const { return node_->crashed() || node_->failure().has_value(); }
    void advance(std::chrono::milliseconds by);

    controller::Controller& controller() { return *controller_; }
    store::SegmentRouter& segments() { return *router_; }
    Node& node() { return *node_; }
    runtime::ManualExecutor& executor() { return executor_; }
    std::uint32_t containers() const { return containers_; }
    const std::set<std::string>& made() const { return made_; }
    const std::string& trouble() const { return trouble_; }
    std::chrono::steady_clock::time_point now() const { return executor_.clock().now(); }
    std::chrono::steady_clock::time_point booted_at() const { return booted_at_; }
    std::uint64_t deaths() const { return deaths_; }
    std::uint64_t deaths_in_recovery() const { return deaths_in_recovery_; }

  private:
    bool begin();

    const ControllerNodeOptions options_;
    Random& random_;
    runtime::ManualExecutor executor_;
    ObjectWorld world_;
    std::uint32_t containers_ = 1;
    std::set<std::string> made_;
    std::unique_ptr<Node> node_;
    std::unique_ptr<store::SegmentRouter> router_;
    std::unique_ptr<WatchedSegments> watched_;
    std::unique_ptr<controller::Controller> controller_;
    std::chrono::steady_clock::time_point booted_at_{};
    bool first_ = true;
    std::uint64_t deaths_ = 0;
    std::uint64_t deaths_in_recovery_ = 0;
    std::string trouble_;
};

}  // namespace millrace::sim
