#include "sim/stream_simulation.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "base/uuid.h"
#include "controller/names.h"
#include "sim/client.h"
#include "sim/controller_node.h"
#include "sim/controller_world.h"
#include "sim/stream_client.h"
#include "sim/stream_model.h"

namespace millrace::sim {

using controller::StreamCut;
using controller::TransactionId;
using controller::TransactionState;
using std::chrono::milliseconds;

namespace {

constexpr std::chrono::seconds kLongestLease{200};

class StreamSimulation {
  public:
    explicit StreamSimulation(const StreamSimulationOptions& options)
        : options_(options),
          random_(options.seed * 0x9e3779b97f4a7c15),
          node_(random_, node_options(options)),
          clients_(node_, random_, trace_, options.planted) {
        trace_.print = options.print_trace;
        for (const char* name : {"a", "b"}) {
            streams_.emplace_back(controller::StreamName{std::string(kScope), name});
            names_.insert({Kind::kStream, std::string(kScope), name});
        }
        names_.insert({Kind::kGroup, std::string(kScope), std::string(kGroup)});
    }

    StreamSimulationReport run() {
        if (!node_.boot()) violated(node_.trouble());
        begin();
        for (round_ = 1; round_ <= options_.rounds && !report_.violation; ++round_) {
            trace_.add(fmt::format("round {}", round_));
            round();
        }
        if (!report_.violation) outlive_leases();
        node_.end();
        report_.round = round_;
        report_.trace_hash = trace_.hash();
        report_.deaths = node_.deaths();
        report_.deaths_in_recovery = node_.deaths_in_recovery();
        report_.reported = clients_.reports();
        report_.truncated = clients_.truncations();
        report_.scaled = clients_.scalings();
        return report_;
    }

  private:
    static ControllerNodeOptions node_options(const StreamSimulationOptions& options) {
        ControllerNodeOptions node;
        node.seed = options.seed;
        node.planted = options.planted;
        node.dies_in_recovery = !options.only_death;
        node.transactions.lease_min = milliseconds(1'000);
        node.transactions.grace = milliseconds(500);
        if (options.planted == PlantedControl::kNeverExpires) node.transactions.grace = std::chrono::hours(1000);
        return node;
    }

    void violated(std::string what) {
        trace_.add("VIOLATION " + what);
        if (!report_.violation) report_.violation = std::move(what);
    }

    void begin() {
        clients_.make_scope();
        settle();
        learn();
    }

    void round() {
        if (!options_.only_death && random_.below(3) != 0) node_.plan_death(60);
        if (options_.only_death && round_ == options_.rounds) node_.plan_death_at(*options_.only_death);
        for (StreamModel& stream : streams_) clients_.change(stream);
        for (std::uint64_t steps = 5 + random_.below(60); steps > 0 && !node_.must_die(); --steps) {
            clients_.step(streams_[random_.below(streams_.size())]);
            for (std::uint64_t n = random_.below(40); n > 0; --n) node_.executor().run_one();
            if (random_.below(8) == 0) node_.advance(milliseconds(1 + random_.below(20)));
            if (random_.below(60) == 0) node_.advance(milliseconds(random_.below(3'000)));
        }
        for (int i = 0; i < 4000 && clients_.waits() && !node_.must_die(); ++i) node_.advance(milliseconds(5));
        if (!node_.must_die() && clients_.waits()) return violated("an operation has no answer");
        settle();
        learn();
    }

    // Nothing is under way any more.
    void settle() {
        if (node_.must_die()) {
            trace_.add("dies");
            end_life();
            if (!node_.die()) return violated(node_.trouble());
        }
        std::uint64_t deaths = node_.deaths();
        if (!node_.settle()) return violated(node_.trouble());
        if (node_.deaths() != deaths) end_life();
    }

    void end_life() {
        clients_.end_life();
        for (StreamModel& stream : streams_) stream.forget_what_is_under_way();
    }

    // Looks at everything, and compares it with what the clients know.
    void learn() {
        if (clients_.wrong()) violated(*clients_.wrong());
        if (report_.violation) return;
        node_.spare();
        Observer observer(node_);
        Observer::Segments parts;
        std::set<std::string> perhaps;
        for (StreamModel& stream : streams_) {
            if (auto wrong = look_at(observer, stream, parts, perhaps)) return violated(*wrong);
        }
        if (auto wrong = observer.check(names_, parts, perhaps)) return violated(*wrong);
        begin_round(observer);
    }

    void begin_round(Observer& observer) {
        ObjectView group = observer.view({Kind::kGroup, std::string(kScope), std::string(kGroup)});
        std::set<std::string> existing;
        for (StreamModel& stream : streams_) {
            using Names = std::optional<std::vector<std::string>>;
            if (!stream.view.exists) continue;
            existing.insert(stream.name.stream);
            auto subscribers = observer.ask<Names>(
                [&](auto done) { node_.controller().list_subscribers(stream.name, std::move(done)); });
            if (!subscribers || !*subscribers)
                return violated(to_string(stream.name) + ": its subscribers cannot be listed");
            bool was = std::exchange(stream.subscribed, !(*subscribers)->empty());
            if (was && !stream.subscribed) violated(to_string(stream.name) + ": its subscriber is gone");
        }
        clients_.begin_round(group.exists, group.group.generation, std::move(existing));
    }

    std::optional<std::string> look_at(Observer& observer, StreamModel& stream, Observer::Segments& parts,
                                       std::set<std::string>& perhaps) {
        ObjectName object{Kind::kStream, stream.name.scope, stream.name.stream};
        ObjectView now = observer.view(object);
        trace_.add(fmt::format("{}: {}, {} epochs", stream.name.stream, now.exists ? "there" : "not there",
                               now.epochs.size()));
        if (auto wrong = clients_.judge_change(stream, now)) return wrong;
        if (!now.exists) {
            stream.reset();
            return std::nullopt;
        }
        if (auto wrong = look_at_transactions(observer, stream, now, parts, perhaps)) return wrong;
        ObjectView before = stream.view;
        auto causes = clients_.causes(stream);
        auto head_wrong = before.exists ? stream.check_head(now, causes) : std::nullopt;
        if (head_wrong) return head_wrong;
        if (before.exists && before.head != now.head && std::ranges::find(causes, now.head) == causes.end())
            ++report_.retained;
        stream.learn(now);
        stream.begin_quiet();
        Observer::Segments segments;
        if (auto wrong = observer.expect_segments(object, now, segments)) return wrong;
        for (const auto& [segment, open] : segments) {
            if (auto wrong = read_all(observer, stream, now, segment)) return wrong;
        }
        if (auto wrong = stream.check_visible(now)) return wrong;
        for (auto& [id, event] : stream.events) {
            bool over = !event.txn || stream.txns.at(*event.txn).state != TransactionState::kOpen;
            if (event.told == Told::kAsked && over) event.told = event.seen ? Told::kYes : Told::kNo;
        }
        return std::nullopt;
    }

    std::optional<std::string> look_at_transactions(Observer& observer, StreamModel& stream, const ObjectView& now,
                                                    Observer::Segments& parts, std::set<std::string>& perhaps) {
        using Listed = std::optional<std::vector<controller::TransactionStatus>>;
        auto listed = observer.ask<Listed>([&](auto done) {
            node_.controller().list_transactions(stream.name, std::nullopt, 100'000, std::move(done));
        });
        if (!listed || !*listed) return to_string(stream.name) + ": its transactions cannot be listed";
        std::set<TransactionId> open;
        for (const controller::TransactionStatus& status : **listed) {
            open.insert(status.id);
            if (stream.txns.contains(status.id)) continue;
            if (!clients_.may_have_begun(stream) && !stream.untold.contains(status.id))
                return fmt::format("{}: transaction {} of nobody", to_string(stream.name), to_hex(status.id));
            stream.untold.insert(status.id);
        }
        for (const TransactionId& id : stream.untold) {
            if (!open.contains(id)) continue;
            for (const std::string& segment : node_.made()) {
                if (segment.ends_with(to_hex(id))) perhaps.insert(segment);
            }
        }
        ObjectView before = std::exchange(stream.view, now);
        std::optional<std::string> wrong;
        for (auto& [id, txn] : stream.txns) {
            if (!wrong) wrong = look_at_transaction(observer, stream, id, txn, open.contains(id), parts);
        }
        stream.view = std::move(before);
        return wrong;
    }

    std::optional<std::string> look_at_transaction(Observer& observer, StreamModel& stream, const TransactionId& id,
                                                   TxnModel& txn, bool listed, Observer::Segments& parts) {
        auto state = observer.ask<TransactionState>(
            [&](auto done) { node_.controller().transaction_state(stream.name, id, std::move(done)); });
        if (!state)
            return fmt::format("{}: state of {}: {}", to_string(stream.name), to_hex(id), state.error().to_string());
        TransactionState before = txn.state;
        auto wrong = stream.check_state(id, *state, node_.now(), node_.booted_at(), milliseconds(500));
        if (wrong) return wrong;
        if (before == TransactionState::kOpen && *state != before) {
            trace_.add(fmt::format("{}: {} is in state {}", stream.name.stream, to_hex(id), static_cast<int>(*state)));
            bool committed = *state == TransactionState::kCommitted;
            bool rolled = committed && controller::epoch_of(id) != stream.view.epochs.back().reference;
            ++(committed ? report_.committed : txn.abort == Told::kNothing ? report_.expired : report_.aborted);
            if (rolled) ++report_.rolled;
        }
        if (listed != (*state == TransactionState::kOpen))
            return fmt::format("{}: the list of transactions and the state of {} do not agree", to_string(stream.name),
                               to_hex(id));
        if (*state != TransactionState::kOpen) return std::nullopt;
        for (std::size_t part = 0; part < txn.parts.size(); ++part) {
            const std::string& segment = txn.parts[part].segment;
            parts[segment] = true;
            auto info = observer.info(segment);
            if (!info) return fmt::format("{} of an open transaction: {}", segment, info.error().to_string());
            if (auto lost = stream.check_part(id, part, info->length)) return lost;
        }
        for (const auto& [number, event] : stream.events) {
            if (event.txn == id && event.told == Told::kNo && clients_.refused(number, stream))
                return fmt::format("{}: an open transaction refused event {}", to_string(stream.name), number);
        }
        return std::nullopt;
    }

    std::optional<std::string> read_all(Observer& observer, StreamModel& stream, const ObjectView& now,
                                        const std::string& segment) {
        auto parsed = controller::parse_segment_name(segment);
        auto info = observer.info(segment);
        if (!parsed || !info) return fmt::format("segment {} cannot be looked at", segment);
        auto at_head = now.head.find(parsed->id);
        std::int64_t start = at_head == now.head.end() ? 0 : std::max<std::int64_t>(at_head->second, 0);
        if (info->start_offset != start)
            return fmt::format("segment {} begins at {}, and the stream there at {}", segment, info->start_offset,
                               start);
        stream.note_length(parsed->id, info->length);
        std::string bytes;
        auto& home =
            node_.node().container(static_cast<std::uint32_t>(node_.segments().container_for(segment).value()));
        while (start + static_cast<std::int64_t>(bytes.size()) < info->length) {
            auto read = observer.ask<container::ReadResult>([&](auto done) {
                home.read(segment, start + static_cast<std::int64_t>(bytes.size()), 1 << 20, std::move(done));
            });
            if (!read) return fmt::format("segment {}: {}", segment, read.error().to_string());
            auto more = read->data.to_vector();
            bytes.append(more.begin(), more.end());
        }
        if (!bytes.empty() && bytes.back() != '\n') return fmt::format("segment {} ends within an event", segment);
        report_.events_read += static_cast<std::uint64_t>(std::ranges::count(bytes, '\n'));
        return stream.saw(parsed->id, start, bytes);
    }

    // Nobody cares for anything any more: in the end nothing is open.
    void outlive_leases() {
        for (auto left = kLongestLease + std::chrono::seconds(20); left.count() > 0; left -= std::chrono::seconds(1))
            node_.advance(std::chrono::seconds(1));
        learn();
        if (report_.violation) return;
        for (const StreamModel& stream : streams_) {
            for (const auto& [id, txn] : stream.txns) {
                if (txn.state == TransactionState::kOpen) violated("a transaction outlives everything: " + to_hex(id));
            }
        }
        for (const StreamModel& stream : streams_) {
            using Listed = std::optional<std::vector<controller::TransactionStatus>>;
            if (!stream.view.exists) continue;
            auto listed = Observer(node_).ask<Listed>([&](auto done) {
                node_.controller().list_transactions(stream.name, std::nullopt, 10, std::move(done));
            });
            if (!listed || !*listed || !(*listed)->empty()) violated("a transaction of nobody outlives everything");
        }
        for (const std::string& segment : node_.made()) {
            bool of_transaction = segment.find("#transaction.") != std::string::npos;
            if (of_transaction && Observer(node_).info(segment)) violated("left over: " + segment);
        }
    }

    const StreamSimulationOptions options_;
    SeededRandom random_;
    ControllerNode node_;
    Trace trace_;
    StreamClients clients_;
    StreamSimulationReport report_;
    std::uint64_t round_ = 0;
    std::vector<StreamModel> streams_;
    std::set<ObjectName> names_;
};

}  // namespace

StreamSimulationReport simulate_streams(const StreamSimulationOptions& options) {
    return StreamSimulation(options).run();
}

}  // namespace millrace::sim
