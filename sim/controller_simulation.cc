#include "sim/controller_simulation.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "sim/client.h"
#include "sim/controller_node.h"
#include "sim/controller_operations.h"

namespace millrace::sim {

using controller::Controller;
using controller::CreateScopeStatus;
using controller::DeleteScopeStatus;
using std::chrono::milliseconds;

namespace {

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
        : options_(options), random_(options.seed * 0x9e3779b97f4a7c15), node_(random_, node_options(options)) {
        trace_.print = options.print_trace;
        for (const char* scope : {"one", "two"}) {
            for (const char* name : {"a", "b", "c"}) names_.insert({Kind::kStream, scope, name});
            for (const char* name : {"g", "h"}) names_.insert({Kind::kGroup, scope, name});
            for (const char* name : {"t", "u"}) names_.insert({Kind::kTable, scope, name});
        }
    }

    ControllerSimulationReport run() {
        if (!node_.boot()) violated(node_.trouble());
        settle();
        for (round_ = 1; round_ <= options_.rounds && !report_.violation; ++round_) {
            trace_.add(fmt::format("round {}", round_));
            if (random_.below(6) == 0)
                scope_round();
            else
                round();
        }
        node_.end();
        report_.round = round_;
        report_.deaths = node_.deaths();
        report_.deaths_in_recovery = node_.deaths_in_recovery();
        report_.trace_hash = trace_.hash();
        return report_;
    }

  private:
    static ControllerNodeOptions node_options(const ControllerSimulationOptions& options) {
        ControllerNodeOptions node;
        node.seed = options.seed;
        node.planted = options.planted;
        return node;
    }

    void violated(std::string what) {
        trace_.add("VIOLATION " + what);
        if (!report_.violation) report_.violation = std::move(what);
    }

    void settle() {
        if (!node_.settle()) violated(node_.trouble());
    }

    void die() {
        trace_.add("dies");
        if (!node_.die()) violated(node_.trouble());
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
        Observer observer(node_);
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
            asked->operation.start(node_.controller(), [asked](ControlAnswer answer, std::string text) {
                asked->answer = answer;
                asked->text = std::move(text);
            });
            for (std::uint64_t n = random_.below(30); n > 0; --n) node_.executor().run_one();
        }
        return all;
    }

    void plan_death() {
        if (random_.below(3) == 0) return;
        node_.plan_death(30);
    }

    template <typename Ended>
    void run_for_a_while(Ended ended) {
        for (int i = 0; i < 4000 && !ended() && !node_.must_die(); ++i) node_.advance(milliseconds(5));
        if (node_.must_die()) return die();
        if (!ended()) violated("an operation has no answer");
    }

    void judge(const Asked& asked) {
        Observer observer(node_);
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
        bool existed = Observer(node_).has_scope(scope);
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
            node_.controller().delete_scope_recursive(scope, told(DeleteScopeStatus::kSuccess));
        else
            node_.controller().create_scope(scope, told(CreateScopeStatus::kSuccess));
        run_for_a_while([&] { return *answer != ControlAnswer::kNone && *others == begun; });
        settle();
        if (report_.violation) return;
        bool exists = Observer(node_).has_scope(scope);
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
            node_.controller().create_stream({scope, name}, config, [ended](const auto&) { ++*ended; });
        node_.controller().create_table(scope, "t", {2, 4, 0, 0}, [ended](const auto&) { ++*ended; });
        for (std::uint64_t n = random_.below(200); n > 0; --n) node_.executor().run_one();
        return 4;
    }

    void check() {
        if (report_.violation) return;
        Observer observer(node_);
        if (auto wrong = observer.check(names_)) violated(*wrong);
    }

    const ControllerSimulationOptions options_;
    SeededRandom random_;
    ControllerNode node_;
    Trace trace_;
    ControllerSimulationReport report_;
    std::uint64_t round_ = 0;
    std::set<ObjectName> names_;
    std::map<ObjectName, std::int32_t> highest_;
};

}  // namespace

ControllerSimulationReport simulate_controller(const ControllerSimulationOptions& options) {
    return ControllerSimulation(options).run();
}

}  // namespace millrace::sim
