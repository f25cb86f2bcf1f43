// The clients of the streams: each step asks for something, without waiting for what was asked before; answers go to
// the streams' models. What changes a stream's shape is asked once in a round, so that it can be judged at its end.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/client.h"
#include "sim/controller_node.h"
#include "sim/stream_model.h"

namespace millrace::sim {

inline constexpr std::string_view kScope = "s";
inline constexpr std::string_view kGroup = "g";

class StreamClients {
  public:
    // `random`, `trace` and the node outlive it.
    StreamClients(ControllerNode& node, Random& random, Trace& trace, PlantedControl planted)
        : node_(node), random_(random), trace_(trace), planted_(planted) {}

    void make_scope();
    void change(StreamModel& stream);  // its shape; or nothing
    void step(StreamModel& stream);
    bool waits() const { return waiting_ > 0; }
    void end_life();  // the node died: what has no answer gets none
    // What there is after a quiet time.
    void begin_round(bool group_is_there, std::int64_t generation, std::set<std::string> existing);

    // What an answer said that cannot be.
    const std::optional<std::string>& wrong() const { return wrong_; }
    // Whether what was asked in this round has happened as it was told.
    std::optional<std::string> judge_change(const StreamModel& stream, const ObjectView& now);
    // Cuts up to which things may have been removed since the round began.
    std::vector<controller::StreamCut> causes(const StreamModel& stream) const;
    bool may_have_begun(const StreamModel& stream) const { return lost_begins_.contains(stream.name.stream); }
    // An append to a part was refused, and not for its offset.
    bool refused(std::uint64_t event, const StreamModel& stream) const {
        return refused_.contains({stream.name.stream, event});
    }
    std::uint64_t reports() const { return reports_; }
    std::uint64_t truncations() const { return truncations_; }
    std::uint64_t scalings() const { return scalings_; }

  private:
    enum class What : std::uint8_t { kNothing, kCreate, kUpdate, kScale, kTruncate, kTruncateWrongly, kSeal, kDelete };
    struct Change {
        What what = What::kNothing;
        Told told = Told::kNothing;
        std::string text;
        controller::StreamConfig config;
        controller::StreamCut cut;
        std::ptrdiff_t more = 0;  // segments
    };

    void violated(std::string what);
    // A callback for the answer, which is not heard any more after the node's death.
    template <typename T, typename Then>
    auto heard(Then then);
    template <typename Status>
    auto judged(const StreamModel& stream, Status good);
    controller::StreamConfig drawn_config(const StreamModel& stream);
    void scale(StreamModel& stream, Change& change);
    void truncate(StreamModel& stream, Change& change);

    void begin_transaction(StreamModel& stream);
    void write_part(StreamModel& stream);
    void write_part_of(StreamModel& stream, const controller::TransactionId& id, std::size_t at);
    void ping(StreamModel& stream);
    void end_transaction(StreamModel& stream, bool commits);
    void append(StreamModel& stream);
    void append_at(StreamModel& stream, std::string segment, controller::StreamSegmentId id, std::int64_t offset);
    void read(StreamModel& stream);
    void report(StreamModel& stream);
    void update_group();
    // One of those that a client would still use, mostly; null: there is none.
    TxnModel* some_transaction(StreamModel& stream, controller::TransactionId& id);

    ControllerNode& node_;
    Random& random_;
    Trace& trace_;
    PlantedControl planted_;
    std::uint64_t life_ = 0;
    std::size_t waiting_ = 0;
    std::size_t reads_ = 0;  // under way
    std::optional<std::string> wrong_;
    std::map<std::string, Change> changes_;  // by stream
    std::map<std::string, std::size_t> begins_;
    std::set<std::string> lost_begins_;
    std::set<std::pair<std::string, std::uint64_t>> refused_;
    std::int64_t generation_ = 0;
    bool group_is_there_ = false;
    std::set<std::string> existing_;  // streams
    bool group_changes_ = false;
    bool retains_ = false;  // some stream has had a retention policy: subscriptions stay as they are
    std::uint64_t reports_ = 0;
    std::uint64_t truncations_ = 0;
    std::uint64_t scalings_ = 0;
};

}  // namespace millrace::sim
