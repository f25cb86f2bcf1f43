#include "node/node.h"

#include <atomic>
#include <random>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "api/grpc/grpc_server.h"
#include "api/rest/http_server.h"
#include "api/rest/routes.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/uuid.h"
#include "container/container.h"
#include "container/scan_pacer.h"
#include "controller/controller.h"
#include "net/listener.h"
#include "node/countdown.h"
#include "node/journal_health.h"
#include "node/metrics.h"
#include "node/states.h"
#include "node/storage.h"
#include "runtime/core_loop.h"
#include "runtime/stall_detector.h"
#include "store/service.h"
#include "wal/local/data_directory.h"
#include "wal/local/local_journal.h"

namespace millrace::node {

using Deadline = std::chrono::steady_clock::time_point;
using container::SegmentContainer;
using rest::Health;
using rest::HealthStatus;

namespace {

constexpr std::chrono::milliseconds kCallsPatience{300};
constexpr std::chrono::milliseconds kControllerPatience{500};

// Frames of the journal go to the containers they belong to.
class Replay final : public wal::RecoveryVisitor {
  public:
    explicit Replay(std::vector<std::unique_ptr<SegmentContainer>>& containers) : containers_(containers) {}
    Result<> frame(ContainerId container, const wal::Appended& where, bytes::ByteSpan payload) override {
        if (container.value() >= containers_.size()) {
            return fail(Errc::kCorrupt, fmt::format("the journal has a frame of container {}, but there are only {}",
                                                    container.value(), containers_.size()));
        }
        return containers_[container.value()]->replay(where, payload);
    }

  private:
    std::vector<std::unique_ptr<SegmentContainer>>& containers_;
};

std::uint64_t random_seed() {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
}

Result<std::uint16_t> free_port(runtime::CoreLoop& loop, const std::string& address) {
    net::ListenerOptions options;
    options.address = address;
    auto listener = net::Listener::open(loop, options, nullptr, nullptr);
    if (!listener) return fail(listener.error());
    std::uint16_t port = (*listener)->port();
    listener->reset();
    auto closed = Countdown::of(1);  // behind the listener's own task, which closes the socket
    loop.post([closed] { closed->arrive(); });
    if (auto done = closed->wait(); !done) return fail(done.error());
    return port;
}

std::string host_and_port(const std::string& host, std::uint16_t port) {
    bool ipv6 = host.find(':') != std::string::npos;
    return ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

}  // namespace

class Node::Impl {
  public:
    Impl(NodeOptions settled, runtime::Callback<Error> on_failure)
        : options_(std::move(settled)), on_failure_(std::move(on_failure)) {}
    ~Impl() { stop_loops(); }

    Result<Addresses> start();
    bool stop(std::chrono::milliseconds within);

  private:
    Result<> open_directory();
    Result<> recover();
    Result<> start_containers();
    Result<> remove_transient_segments();
    Result<> start_store();
    Result<> start_controller();
    Result<> start_rest();
    void stop_loops();
    void failed(Error error);
    Health health() const;
    Health storage_health() const;
    void fill(MetricsSnapshot& snapshot) const;
    runtime::CoreLoop& shard_of(ContainerId id) { return *shards_[id.value() % shards_.size()]; }

    NodeOptions options_;
    runtime::Callback<Error> on_failure_;
    std::atomic<bool> has_failed_{false};
    std::atomic<HealthStatus> status_{HealthStatus::kNew};
    const std::int64_t made_ms_ = SystemClock().wall_millis();
    std::chrono::steady_clock::time_point ready_since_;

    // In the order of making; destroyed in the reverse order, after all loops have ended.
    std::vector<std::unique_ptr<runtime::CoreLoop>> shards_;
    runtime::CoreLoop control_{"control", random_seed()};
    runtime::StallDetector stalls_;
    std::unique_ptr<io::FileSystem> files_;
    std::optional<wal::local::DataDirectory> directory_;
    std::unique_ptr<wal::local::LocalJournal> journal_;
    std::optional<Storage> storage_;
    std::optional<States> states_;
    wal::RecoveryReport recovered_;
    std::vector<std::unique_ptr<SegmentContainer>> containers_;
    std::unique_ptr<store::StoreService> store_;
    std::unique_ptr<controller::Controller> controller_;
    std::unique_ptr<api::GrpcServer> grpc_;
    std::unique_ptr<Metrics> metrics_;
    rest::Router router_;
    std::unique_ptr<rest::HttpServer> rest_;
};

Result<Addresses> Node::Impl::start() {
    status_ = HealthStatus::kStarting;
    for (std::uint32_t i = 0; i < options_.shards; ++i)
        shards_.push_back(std::make_unique<runtime::CoreLoop>(fmt::format("shard-{}", i), random_seed()));
    for (auto step : {&Impl::open_directory, &Impl::recover, &Impl::start_containers, &Impl::remove_transient_segments,
                      &Impl::start_store, &Impl::start_controller, &Impl::start_rest}) {
        if (auto done = (this->*step)(); !done) return fail(done.error());
    }
    ready_since_ = control_.clock().now();
    status_ = HealthStatus::kUp;
    Addresses addresses;
    addresses.controller = "tcp://" + host_and_port(options_.advertise, options_.controller_port);
    addresses.rest = "http://" + host_and_port(options_.advertise, options_.rest_port);
    addresses.store = host_and_port(options_.advertise, options_.store_port);
    addresses.data = options_.data_directory;
    return addresses;
}

Result<> Node::Impl::open_directory() {
    auto files = io::make_file_system(*shards_.front(), options_.io);
    if (!files) return fail(files.error());
    files_ = std::move(*files);
    wal::local::DataDirectoryInfo fresh;
    fresh.containers = options_.containers.value_or(kDefaultContainers);
    fresh.created_ms = control_.clock().wall_millis();
    auto directory = wal::local::DataDirectory::open(*files_, options_.data_directory, fresh);
    if (!directory) return fail(directory.error());
    directory_.emplace(std::move(*directory));
    std::uint32_t recorded = directory_->info().containers;
    if (recorded == 0 || recorded > kMaxContainers) {
        return fail(Errc::kCorrupt, fmt::format("{}/VERSION names {} containers; from 1 to {} can be",
                                                options_.data_directory, recorded, kMaxContainers));
    }
    if (options_.containers && *options_.containers != recorded) {
        return fail(
            Errc::kInvalidArgument,
            fmt::format(
                "data directory {} was made with {} containers, which cannot be changed to {}: leave --containers "
                "out",
                options_.data_directory, recorded, *options_.containers));
    }
    return {};
}

Result<> Node::Impl::recover() {
    std::uint32_t count = directory_->info().containers;
    container::ContainerOptions each = options_.container;
    each.memory = std::make_shared<container::MemoryBudget>(options_.cache_bytes, count);
    each.index_bytes = options_.index_bytes / count;
    each.tiering.reader.cache_bytes = options_.storage_cache_bytes / count;
    container::ScanPacerOptions scans;
    scans.bytes_per_second = options_.history_rate_bytes;
    each.tiering.scans = std::make_shared<container::ScanPacer>(scans);
    each.tiering.reader.loading_bytes = std::max<std::uint64_t>(options_.storage_cache_bytes / count, 4 * kMiB);
    // The journal is freed by checkpoints: all containers together write some before it is half full.
    each.checkpoint_log_bytes =
        std::min(options_.container.checkpoint_log_bytes, options_.journal.limit_bytes / 8) / count;
    each.state.resident_segments = std::max<std::uint64_t>(options_.container.state.resident_segments / count, 64);
    each.state.marked_max = std::max<std::size_t>(options_.container.state.marked_max / count, 1024);
    // A start does again what was changed since: some thousand segments of each container.
    each.state.flush_bytes = std::max<std::size_t>(options_.state.cache_bytes / (std::size_t{4} * count), 1 * kMiB);
    storage_.emplace(options_.storage);
    each.tiering.shares_disk = storage_->is_beside(*files_, options_.data_directory);
    states_.emplace(options_.state);
    if (auto prepared = states_->prepare(*files_); !prepared) return prepared;
    for (std::uint32_t i = 0; i < count; ++i) {
        auto state = states_->open(ContainerId(i), shard_of(ContainerId(i)));
        if (!state) return fail(state.error());
        containers_.push_back(
            std::make_unique<SegmentContainer>(ContainerId(i), shard_of(ContainerId(i)), each, std::move(*state)));
        if (auto loaded = containers_.back()->load(); !loaded) return loaded;
    }
    journal_ = std::make_unique<wal::local::LocalJournal>(*files_, *shards_.front(), options_.journal);
    Replay replay(containers_);
    auto report = journal_->recover(replay);
    if (!report) return fail(report.error());
    recovered_ = *report;
    log::info("journal: {} frames recovered, {} torn tails repaired", recovered_.frames, recovered_.torn_tails);
    if (auto bound = directory_->bind_journal(journal_->id()); !bound) return bound;
    for (auto& each_container : containers_) {
        if (auto done = each_container->finish_recovery(); !done) return done;
        if (each_container->has_tiered_bytes() && !storage_->is_used()) {
            return fail(
                Errc::kInvalidArgument,
                "this data directory has data in long-term storage; start with the storage that it was written with");
        }
    }
    return {};
}

Result<> Node::Impl::start_containers() {
    // A first start is refused where storage cannot be used: the options may be wrong. Later it may be away as at any
    // time.
    bool has_data = false;
    for (auto& container : containers_) has_data = has_data || container->stats().segments > 0;
    auto started = Countdown::of(containers_.size());
    for (auto& container : containers_) {
        auto store = storage_->open(shard_of(container->id()), has_data);
        if (!store) return fail(store.error());
        container->executor().post([this, started, container = container.get(), store = std::move(*store)]() mutable {
            container->start(
                journal_->open(container->id(), container->executor()),
                [this](Error error) { failed(std::move(error)); }, std::move(store), to_string(journal_->id()));
            started->arrive();
        });
    }
    log::info("long-term storage: {}", storage_->description());
    for (auto& shard : shards_) {
        stalls_.watch(*shard);
        shard->start();
    }
    stalls_.watch(control_);
    control_.start();
    stalls_.start();
    return started->wait();
}

// What a transaction or a batch left behind when the last process ended: nobody can continue it.
Result<> Node::Impl::remove_transient_segments() {
    auto removed = Countdown::of(containers_.size());
    for (auto& container : containers_) {
        container->executor().post([removed, container = container.get()] {
            std::vector<std::string> names = container->transient_segments();
            if (names.empty()) return removed->arrive();
            log::info("container {}: {} transient segments are left over and go", container->id().value(),
                      names.size());
            auto each = std::make_shared<std::size_t>(names.size());
            for (std::string& name : names) {
                container->remove(std::move(name), [removed, each](Result<> result) {
                    if (!result) log::warn("a transient segment stays: {}", result.error().to_string());
                    if (--*each == 0) removed->arrive();
                });
            }
        });
    }
    return removed->wait();
}

Result<> Node::Impl::start_store() {
    std::vector<runtime::CoreLoop*> loops;
    for (auto& shard : shards_) loops.push_back(shard.get());
    std::vector<store::ContainerHandle> handles;
    for (auto& container : containers_) handles.push_back({container.get(), &container->executor()});
    store_ = std::make_unique<store::StoreService>(options_.store, std::move(loops), std::move(handles));
    if (auto listening = store_->start(); !listening) return listening;
    options_.store_port = store_->port();
    return {};
}

Result<> Node::Impl::start_controller() {
    // The controller tells its own address, so "any free port" is decided before there is a server on it.
    if (options_.controller_port == 0) {
        auto port = free_port(control_, options_.listen);
        if (!port) return fail(port.error());
        options_.controller_port = *port;
    }
    controller::ControllerOptions options;
    options.controller = {options_.advertise, options_.controller_port};
    options.store = {options_.advertise, options_.store_port};
    options.transactions = options_.transactions;
    options.retention_period = options_.retention_period;
    options.watermark_period = options_.watermark_period;
    options.scaling = options_.scaling;
    controller_ =
        std::make_unique<controller::Controller>(control_, store_->api(), std::move(options), &store_->traffic_api());
    auto started = Countdown::of(1);
    controller_->start([started](Result<> result) { started->arrive(std::move(result)); });
    if (auto done = started->wait(); !done) return done;
    auto serving = api::GrpcServer::start(options_.listen, options_.controller_port, *controller_);
    if (!serving) return fail(serving.error());
    grpc_ = std::move(*serving);
    return {};
}

Result<> Node::Impl::start_rest() {
    rest::add_all_routes(router_, *controller_, [this] { return health(); });
    Metrics::Sources sources;
    for (auto& container : containers_) sources.containers.push_back(container.get());
    sources.fill = [this](MetricsSnapshot& snapshot) { fill(snapshot); };
    metrics_ = std::make_unique<Metrics>(control_, *controller_, std::move(sources), options_.metrics_streams);
    for (const char* path : {"/metrics", "/prometheus"}) {
        router_.add(rest::Method::kGet, path, [this](const rest::HttpRequest& request, rest::Respond respond) {
            metrics_->scrape(request, std::move(respond));
        });
    }
    rest_ = std::make_unique<rest::HttpServer>(
        control_, options_.http, [this](rest::HttpRequest request, rest::Respond respond) {
            auto counted = metrics_->http().begin(request.method, std::move(respond));
            router_.dispatch(std::move(request), std::move(counted));
        });
    auto port = rest_->listen();
    if (!port) return fail(port.error());
    options_.rest_port = *port;
    return {};
}

bool Node::Impl::stop(std::chrono::milliseconds within) {
    Deadline deadline = std::chrono::steady_clock::now() + within;
    status_ = HealthStatus::kDown;
    auto quiet = Countdown::of(2);
    for (auto& container : containers_) {
        container->executor().post([container = container.get()] { container->end_waiting(); });
    }
    rest_->stop([quiet] { quiet->arrive(); });
    store_->stop([quiet] { quiet->arrive(); });
    grpc_->stop(kCallsPatience);
    if (!quiet->wait_until(deadline)) return false;

    // Workflows under way get a moment; when the containers stop, the others fail and are taken up by the next start.
    auto controller_ended = Countdown::of(1);
    control_.post([this, controller_ended] { controller_->stop([controller_ended] { controller_ended->arrive(); }); });
    controller_ended->wait_until(std::min(deadline, std::chrono::steady_clock::now() + kControllerPatience));
    auto containers_ended = Countdown::of(containers_.size());
    for (auto& container : containers_) {
        container->executor().post([containers_ended, container = container.get()] {
            container->stop([containers_ended] { containers_ended->arrive(); });
        });
    }
    if (!containers_ended->wait_until(deadline) || !controller_ended->wait_until(deadline)) return false;

    auto closed = Countdown::of(1);
    journal_->close([closed](Result<> result) {
        if (!result) log::warn("the journal could not be closed in order: {}", result.error().to_string());
        closed->arrive();
    });
    if (!closed->wait_until(deadline)) return false;
    stop_loops();
    return true;
}

void Node::Impl::stop_loops() {
    stalls_.stop();
    if (storage_) storage_->stop();
    if (states_) states_->stop();
    control_.stop();
    for (auto& shard : shards_) shard->stop();
}

void Node::Impl::failed(Error error) {
    if (has_failed_.exchange(true)) return;
    status_ = HealthStatus::kFailed;
    on_failure_(std::move(error));
}

// Storage that is down is no reason to restart or to leave the process alone: the journal takes what comes.
Health Node::Impl::storage_health() const {
    container::TieringGauges::Values sum;
    for (const auto& container : containers_) sum += container->tiering_gauges();
    Health storage{"storage", status_.load(), {}, {}};
    const char* state = "working";
    if (sum.fenced > 0)
        state =
            "taken over by another server, on a copy of this data directory: data stays in the journal; end one of "
            "them";
    else if (sum.in_trouble > 0)
        state = "failing: data stays in the journal";
    storage.details = {{"place", storage_->description()},
                       {"state", state},
                       {"journalOnlyBytes", fmt::to_string(sum.log_only_bytes)},
                       {"objects", fmt::to_string(sum.objects)}};
    return storage;
}

Health Node::Impl::health() const {
    HealthStatus status = status_.load();
    store::StoreStats traffic = store_->stats();
    Health store{"segmentstore", status, {}, {}};
    store.details = {{"connections", fmt::to_string(traffic.connections)},
                     {"appends", fmt::to_string(traffic.appends)},
                     {"outstandingBytes", fmt::to_string(traffic.outstanding_bytes)},
                     {"readReplyBytes", fmt::to_string(traffic.read_reply_bytes)},
                     {"standingBytes", fmt::to_string(traffic.standing_bytes)},
                     {"containers", fmt::to_string(containers_.size())}};
    wal::LogSpace space = journal_->space();
    Health root{"", status, {}, {}};
    Health runtime{"runtime", status, {}, {}};
    runtime.details = {{"stalls", fmt::to_string(stalls_.stalls())},
                       {"longestStallMs", fmt::to_string(stalls_.longest_stall().count())}};
    controller::AutoScalingStats scaling = controller_->auto_scaling();  // on the control loop, as REST is
    Health controller{"controller", status, {}, {}};
    controller.details = {{"splitsByLoad", fmt::to_string(scaling.splits)},
                          {"mergesByLoad", fmt::to_string(scaling.merges)},
                          {"lastScaling", scaling.last.empty() ? "none" : scaling.last}};
    root.children.push_back(std::move(controller));
    root.children.push_back(std::move(runtime));
    root.children.push_back(std::move(store));
    root.children.push_back(storage_health());
    Health states{"state", status, {}, {}};
    states.details = {{"damagedPlaces", fmt::to_string(states_->damages())}};
    root.children.push_back(std::move(states));
    std::uint64_t damaged = journal_->stats().damaged_frames;
    if (space.full)
        root.details.emplace_back("warning", "log full: appends wait until streams are truncated or deleted");
    else if (damaged > 0)
        root.details.emplace_back("warning", "frames of the journal are damaged on disk: the log names them");
    else if (states_->damages() > 0)
        root.details.emplace_back("warning", "files of the state are damaged on disk: the log names them");
    root.children.push_back(journal_health(status, files_->description(), space, recovered_.torn_tails, damaged));
    return root;
}

// On the control loop; everything here may be read from any thread.
void Node::Impl::fill(MetricsSnapshot& snapshot) const {
    snapshot.build = options_.build;
    snapshot.ready = status_.load() == HealthStatus::kUp;
    snapshot.start_seconds = static_cast<double>(made_ms_) / 1e3;
    // Written before it was ready.
    if (snapshot.ready)
        snapshot.uptime_seconds = std::chrono::duration<double>(control_.clock().now() - ready_since_).count();
    snapshot.process = read_process_stats();
    snapshot.data_disk = read_disk_stats(options_.data_directory);
    snapshot.log_warnings = log::written(log::Level::kWarn);
    snapshot.log_errors = log::written(log::Level::kError);
    snapshot.stalls = stalls_.stalls();
    snapshot.longest_stall_seconds = std::chrono::duration<double>(stalls_.longest_stall()).count();
    snapshot.state_damages = states_->damages();
    snapshot.journal_space = journal_->space();
    snapshot.journal = journal_->stats();
    snapshot.recovered = recovered_;
    snapshot.store = store_->stats();
    snapshot.rpcs = grpc_->stats();
}

Node::Node(NodeOptions settled, runtime::Callback<Error> on_failure)
    : impl_(std::make_unique<Impl>(std::move(settled), std::move(on_failure))) {}

Node::~Node() = default;

Result<Addresses> Node::start() { return impl_->start(); }
bool Node::stop(std::chrono::milliseconds within) { return impl_->stop(within); }

}  // namespace millrace::node
