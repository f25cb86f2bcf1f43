#include "sim/controller_simulation.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "base/units.h"
#include "sim/client.h"
#include "sim/controller_operations.h"
#include "store/segment_router.h"

namespace millrace::sim {

using controller::Controller;
using controller::CreateScopeStatus;
using controller::DeleteScopeStatus;
using std::chrono::milliseconds;

namespace {

constexpr std::uint64_t kRoomy = std::uint64_t{1} << 40;
constexpr int kBootAttempts = 60;
constexpr auto kSettling = std::chrono::seconds(12);  // several delays of the controller's retries

// An operation of the round, and what became of it.
struct Asked {
    ObjectName name;
    ObjectView before;
    ControlOperation operation;
    ControlAnswer answer = ControlAnswer::kNone;
    std::string text;
};

class ControllerSimulation {
  public:
    explicit ControllerSimulation(const ControllerSimulationOptions& options)
        : options_(options), random_(options.seed * 0x9e3779b97f4a7c15), executor_(options.seed), world_(options.seed) {
        trace_.print = options.print_trace;
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
        for (const char* scope : {"one", "two"}) {
            for (const char* name : {"a", "b", "c"}) names_.insert({Kind::kStream, scope, name});
            for (const char* name : {"g", "h"}) names_.insert({Kind::kGroup, scope, name});
            for (const char* name : {"t", "u"}) names_.insert({Kind::kTable, scope, name});
        }
    }

    ControllerSimulationReport run() {
        boot();
        settle();
        for (round_ = 1; round_ <= options_.rounds && !report_.violation; ++round_) {
            trace_.add(fmt::format("round {}", round_));
            if (random_.below(6) == 0)
                scope_round();
            else
                round();
        }
        node_->kill(random_);
        controller_.reset();
        report_.round = round_;
        report_.trace_hash = trace_.hash();
        return report_;
    }

  private:
    void violated(std::string what) {
        trace_.add("VIOLATION " + what);
        if (!report_.violation) report_.violation = std::move(what);
    }

    // ---- the node's life ----

    void boot() {
        for (int attempt = 0; attempt < kBootAttempts; ++attempt) {
            // The next death may come while the journal is read, or while the controller carries on.
            bool mortal = attempt < 5 && round_ > 0 && random_.below(3) == 0;
            if (mortal) node_->disk().crash_at(1 + random_.below(60));
            if (begin()) return;
            if (!node_->crashed()) return violated("the node does not recover");
            ++report_.deaths_in_recovery;
            trace_.add("died in recovery");
            node_->kill(random_);
            controller_.reset();
        }
        violated("the node never gets up");
    }

    bool begin() {
        if (!node_->boot()) return false;
        node_->disk().set_capacity(kRoomy);
        node_->disk().set_latency(milliseconds(1 + random_.below(5)));
        std::vector<store::ContainerHandle> handles;
        for (std::uint32_t i = 0; i < containers_; ++i) handles.push_back({&node_->container(i), &executor_});
        router_ = std::make_unique<store::SegmentRouter>(std::move(handles));
        controller::ControllerOptions options;
        options.controller = {"controller", 1};
        options.store = {"store", 2};
        options.page_items = 1 + random_.below(5);
        controller_ = std::make_unique<Controller>(executor_, *router_, options);
        auto started = std::make_shared<std::optional<Result<>>>();
        if (!options_.forget_intents) {
            controller_->start([started](Result<> result) { *started = std::move(result); });
        } else {
            *started = Result<>();
        }
        for (int i = 0; i < 2000 && !*started && !node_->crashed() && !node_->failure(); ++i) advance(milliseconds(5));
        return *started && **started && !node_->crashed();
    }

    void die() {
        ++report_.deaths;
        trace_.add("dies");
        node_->kill(random_);
        controller_.reset();
        boot();
    }

    void advance(milliseconds by) {
        executor_.advance(by);
        world_.run_due(executor_.clock().now());
        executor_.run_until_idle();
    }

    // Whatever was begun comes to its end, also over further deaths; then nothing is under way.
    void settle() {
        for (int i = 0; i < kBootAttempts && !report_.violation; ++i) {
            for (auto left = kSettling; left.count() > 0 && !node_->crashed(); left -= std::chrono::seconds(1))
                advance(std::chrono::seconds(1));
            if (!node_->crashed() && !node_->failure()) return;
            die();
        }
    }

    // ---- what clients do ----

    void round() {
        auto operations = ask_some();
        run_for_a_while([&operations] {
            return std::ranges::all_of(operations,
                                       [](const auto& asked) { return asked->answer != ControlAnswer::kNone; });
        });
        settle();
        if (report_.violation) return;
        for (const auto& asked : operations) judge(*asked);
        check();
    }

    std::vector<std::shared_ptr<Asked>> ask_some() {
        std::vector<std::shared_ptr<Asked>> all;
        Observer observer(executor_, *controller_, *node_, containers_);
        for (const ObjectName& name : names_) {
            if (random_.below(3) != 0) continue;
            auto asked = std::make_shared<Asked>();
            asked->name = name;
            asked->before = observer.view(name);
            std::int32_t& highest = highest_.try_emplace(name, -1).first->second;
            highest = std::max(highest, highest_number(asked->before));
            asked->operation = draw(name, asked->before, observer.has_scope(name.scope), highest, random_);
            all.push_back(std::move(asked));
        }
        plan_death();
        for (const auto& asked : all) {
            trace_.add(fmt::format("{}: {}", asked->name.to_string(), asked->operation.what));
            asked->operation.start(*controller_, [asked](ControlAnswer answer, std::string text) {
                asked->answer = answer;
                asked->text = std::move(text);
            });
            for (std::uint64_t n = random_.below(30); n > 0; --n) executor_.run_one();
        }
        return all;
    }

    void plan_death() {
        if (random_.below(3) == 0) return;
        node_->disk().crash_at(node_->disk().operations() + 1 + random_.below(30));
    }

    template <typename Ended>
    void run_for_a_while(Ended ended) {
        for (int i = 0; i < 4000 && !ended() && !node_->crashed() && !node_->failure(); ++i) advance(milliseconds(5));
        if (node_->crashed() || node_->failure()) return die();
        if (!ended()) violated("an operation has no answer");
    }

    void judge(const Asked& asked) {
        Observer observer(executor_, *controller_, *node_, containers_);
        ObjectView now = observer.view(asked.name);
        bool happened = asked.operation.done(asked.before, now);
        bool unchanged = now == asked.before;
        std::string what = fmt::format("{}: {}", asked.name.to_string(), asked.operation.what);
        switch (asked.answer) {
            case ControlAnswer::kDone:
                ++report_.acknowledged;
                if (!happened) violated(what + " was acknowledged and is not there");
                break;
            case ControlAnswer::kRefused:
                ++report_.refused;
                if (!unchanged) violated(what + " was refused, and something has changed");
                if (!asked.operation.may_refuse(asked.before)) violated(what + " was refused: " + asked.text);
                break;
            case ControlAnswer::kFailed:
            case ControlAnswer::kNone:
                if (!happened && !unchanged) violated(what + " is half done");
                ++(happened ? report_.unknown_happened : report_.unknown_lost);
                break;
        }
        trace_.add(
            fmt::format("{}: answer {}, {}", what, static_cast<int>(asked.answer), happened ? "done" : "not done"));
    }

    // A scope comes, or goes with all that is in it, perhaps while something is being made there.
    void scope_round() {
        std::string scope = random_.below(2) == 0 ? "one" : "two";
        bool existed = Observer(executor_, *controller_, *node_, containers_).has_scope(scope);
        auto answer = std::make_shared<ControlAnswer>(ControlAnswer::kNone);
        auto others = std::make_shared<std::size_t>(0);
        std::size_t begun = 0;
        plan_death();
        trace_.add(fmt::format("scope {} {}", scope, existed ? "goes" : "comes"));
        if (existed && random_.below(2) == 0) begun = create_in(scope, others);
        auto told = [answer](auto good) {
            return [answer, good](auto status) {
                *answer = !status           ? ControlAnswer::kFailed
                          : *status == good ? ControlAnswer::kDone
                                            : ControlAnswer::kRefused;
            };
        };
        if (existed)
            controller_->delete_scope_recursive(scope, told(DeleteScopeStatus::kSuccess));
        else
            controller_->create_scope(scope, told(CreateScopeStatus::kSuccess));
        run_for_a_while([&] { return *answer != ControlAnswer::kNone && *others == begun; });
        settle();
        if (report_.violation) return;
        bool exists = Observer(executor_, *controller_, *node_, containers_).has_scope(scope);
        if (*answer == ControlAnswer::kDone && exists == existed)
            violated("scope " + scope + ": acknowledged, and not so");
        if (*answer == ControlAnswer::kRefused) violated("scope " + scope + " was refused");
        ++(*answer == ControlAnswer::kDone ? report_.acknowledged
           : exists != existed             ? report_.unknown_happened
                                           : report_.unknown_lost);
        check();
    }

    std::size_t create_in(const std::string& scope, const std::shared_ptr<std::size_t>& ended) {
        controller::StreamConfig config;
        config.scaling.min_segments = 2;
        for (const char* name : {"a", "b", "c"})
            controller_->create_stream({scope, name}, config, [ended](const auto&) { ++*ended; });
        controller_->create_table(scope, "t", {2, 4, 0, 0}, [ended](const auto&) { ++*ended; });
        for (std::uint64_t n = random_.below(200); n > 0; --n) executor_.run_one();
        return 4;
    }

    void check() {
        if (report_.violation) return;
        Observer observer(executor_, *controller_, *node_, containers_);
        if (auto wrong = observer.check(names_)) violated(*wrong);
    }

    const ControllerSimulationOptions options_;
    SeededRandom random_;
    runtime::ManualExecutor executor_;
    ObjectWorld world_;
    Trace trace_;
    ControllerSimulationReport report_;
    std::uint32_t containers_ = 1;
    std::uint64_t round_ = 0;
    std::set<ObjectName> names_;
    std::map<ObjectName, std::int32_t> highest_;
    std::unique_ptr<Node> node_;
    std::unique_ptr<store::SegmentRouter> router_;
    std::unique_ptr<Controller> controller_;
};

}  // namespace

ControllerSimulationReport simulate_controller(const ControllerSimulationOptions& options) {
    return ControllerSimulation(options).run();
}

}  // namespace millrace::sim
