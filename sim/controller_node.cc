#include "sim/controller_node.h"

#include <utility>

#include "base/units.h"

namespace millrace::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr std::uint64_t kRoomy = std::uint64_t{1} << 40;
constexpr int kBootAttempts = 60;
constexpr auto kSettling = seconds(12);  // several delays of the controller's retries

}  // namespace

ControllerNode::ControllerNode(Random& random, const ControllerNodeOptions& options)
    : options_(options), random_(random), executor_(options.seed), world_(options.seed) {
    NodeOptions node;
    containers_ = static_cast<std::uint32_t>(1 + random_.below(3));
    node.containers = containers_;
    node.container.frame_bytes = static_cast<std::uint32_t>(64 << 10);
    node.container.max_frames_in_flight = static_cast<std::uint32_t>(1 + random_.below(4));
    node.container.checkpoint_log_bytes = 200'000;
    node.journal.directory = "/journal";
    node.journal.file_bytes = 4 * kMiB;
    node.journal.first_file_bytes = kMiB;
    node.journal.limit_bytes = 256 * kMiB;
    node.journal.min_free_bytes = 0;
    node.journal.max_write_bytes = 256 * kKiB;
    node.journal.max_payload_bytes = 128 * kKiB;
    node_ = std::make_unique<Node>(executor_, world_, std::move(node));
}

ControllerNode::~ControllerNode() { end(); }

void ControllerNode::end() {
    if (node_ != nullptr) node_->kill(random_);
    controller_.reset();
    node_.reset();
}

bool ControllerNode::boot() {
    for (int attempt = 0; attempt < kBootAttempts; ++attempt) {
        // The next death may come while the journal is read, or while the controller carries on.
        bool mortal = options_.dies_in_recovery && attempt < 5 && !first_ && random_.below(3) == 0;
        if (mortal) node_->disk().crash_at(1 + random_.below(60));
        if (begin()) {
            first_ = false;
            booted_at_ = now();
            return true;
        }
        if (!node_->crashed()) {
            trouble_ = "the node does not recover";
            return false;
        }
        ++deaths_in_recovery_;
        node_->kill(random_);
        controller_.reset();
    }
    trouble_ = "the node never gets up";
    return false;
}

bool ControllerNode::begin() {
    if (!node_->boot()) return false;
    node_->disk().set_capacity(kRoomy);
    node_->disk().set_latency(milliseconds(1 + random_.below(5)));
    std::vector<store::ContainerHandle> handles;
    for (std::uint32_t i = 0; i < containers_; ++i) handles.push_back({&node_->container(i), &executor_});
    router_ = std::make_unique<store::SegmentRouter>(std::move(handles));
    watched_ = std::make_unique<WatchedSegments>(*router_, executor_, made_, options_.planted, random_.next());
    controller::ControllerOptions options;
    options.controller = {"controller", 1};
    options.store = {"store", 2};
    options.page_items = 1 + random_.below(5);
    options.transactions = options_.transactions;
    controller_ = std::make_unique<controller::Controller>(executor_, *watched_, options);
    if (options_.planted == PlantedControl::kForgottenIntents) return !node_->crashed();
    auto started = std::make_shared<std::optional<Result<>>>();
    controller_->start([started](Result<> result) { *started = std::move(result); });
    for (int i = 0; i < 2000 && !*started && !must_die(); ++i) advance(milliseconds(5));
    return *started && **started && !node_->crashed();
}

bool ControllerNode::die() {
    ++deaths_;
    node_->kill(random_);
    controller_.reset();
    return boot();
}

void ControllerNode::advance(milliseconds by) {
    executor_.advance(by);
    world_.run_due(executor_.clock().now());
    executor_.run_until_idle();
}

bool ControllerNode::settle() {
    for (int i = 0; i < kBootAttempts; ++i) {
        for (auto left = kSettling; left.count() > 0 && !node_->crashed(); left -= seconds(1)) advance(seconds(1));
        if (!must_die()) return true;
        if (!die()) return false;
    }
    trouble_ = "the node dies again and again";
    return false;
}

void ControllerNode::plan_death(std::uint64_t within) { plan_death_at(random_.below(within)); }

}  // namespace millrace::sim
