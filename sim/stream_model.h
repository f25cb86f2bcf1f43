// What the clients of one stream know: the events they wrote, themselves or within transactions, what they were told of
// each transaction, and where events were seen. It judges what a stream holds by that knowledge alone.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "controller/transaction_types.h"
#include "sim/controller_world.h"

namespace millrace::sim {

struct Place {
    controller::StreamSegmentId segment;
    std::int64_t offset = 0;
    auto operator<=>(const Place&) const = default;
};

enum class Told : std::uint8_t { kNothing, kAsked, kYes, kNo };  // asked: there was no answer yet, or never will be

struct EventModel {
    std::string text;
    std::optional<controller::TransactionId> txn;  // none: written to the stream itself
    std::size_t part = 0;                          // which segment of the transaction
    Place written;                                 // in the stream, or the offset within the part
    Told told = Told::kAsked;
    std::optional<Place> seen;  // in the stream
};

struct TxnModel {
    struct Part {
        std::string segment;
        std::int64_t length = 0;  // acknowledged
        std::optional<std::uint64_t> writing;
    };
    std::vector<controller::SegmentRange> ranges;  // of the parts
    std::vector<Part> parts;
    std::chrono::steady_clock::time_point lives_until;   // not aborted before
    std::chrono::steady_clock::time_point last_request;  // an answer to it prolonged it, perhaps
    std::chrono::milliseconds longest{};                 // lease
    Told commit = Told::kNothing;
    Told abort = Told::kNothing;
    std::uint64_t commit_asked = 0;  // when, by a count of what happens
    std::uint64_t commit_told = 0;
    std::chrono::steady_clock::time_point told_at;  // of its end
    bool pinging = false;
    controller::TransactionState state = controller::TransactionState::kOpen;  // at the last quiet time
};

class StreamModel {
  public:
    explicit StreamModel(controller::StreamName of) : name(std::move(of)) {}

    // ---- what clients do ----
    std::uint64_t new_event(std::optional<controller::TransactionId> txn, std::size_t part, Place where,
                            Random& random);
    TxnModel& add(const controller::BegunTransaction& begun, std::chrono::steady_clock::time_point asked,
                  std::chrono::milliseconds lease);
    void forget_what_is_under_way();  // the node died

    // Bytes of a segment from `offset` on, perhaps with a part of an event at the end. Nothing, or what is wrong.
    std::optional<std::string> saw(controller::StreamSegmentId segment, std::int64_t offset, std::string_view bytes);

    // ---- at a quiet time ----
    // Everything that the stream holds was passed to saw(): whether it is all there that must be, and nothing else.
    std::optional<std::string> check_visible(const ObjectView& now);
    std::optional<std::string> check_state(const controller::TransactionId& id, controller::TransactionState state,
                                           std::chrono::steady_clock::time_point now,
                                           std::chrono::steady_clock::time_point booted_at,
                                           std::chrono::milliseconds grace);
    // The part's length, as the store tells it.
    std::optional<std::string> check_part(const controller::TransactionId& id, std::size_t part, std::int64_t length);
    // What a truncation at `head` has removed lies before one of `causes`.
    std::optional<std::string> check_head(const ObjectView& now,
                                          const std::vector<controller::StreamCut>& causes) const;
    void begin_quiet() { present_.clear(); }
    void learn(const ObjectView& now);
    void note_length(controller::StreamSegmentId segment, std::int64_t length) { lengths_[segment] = length; }
    void reset();  // the stream is gone

    // ---- cuts ----
    controller::StreamCut start() const;  // of the stream's first epoch
    // A valid cut at or after the given one, as readers could reach it.
    controller::StreamCut walk(controller::StreamCut from, Random& random) const;
    bool is_before(const Place& place, const controller::StreamCut& cut) const;

    controller::StreamName name;
    ObjectView view;  // at the last quiet time
    std::map<controller::TransactionId, TxnModel> txns;
    std::set<controller::TransactionId> untold;  // begun, and nobody was told
    std::map<std::uint64_t, EventModel> events;
    bool seal_asked = false;
    bool subscribed = false;
    std::uint64_t life = 0;  // of streams of the name
    std::uint64_t happened = 0;
    std::set<std::string> appending;                 // segments with a client's append under way
    std::vector<controller::StreamCut> reported;     // by the subscriber, acknowledged
    std::optional<controller::StreamCut> reporting;  // no answer yet, or never
    bool report_under_way = false;

  private:
    std::vector<controller::SegmentRange> overlapping(const std::vector<controller::SegmentRange>& in,
                                                      const controller::SegmentRange& with,
                                                      const controller::Epoch& not_in) const;
    std::optional<std::string> check_order() const;
    std::optional<std::string> check_parts_together() const;

    std::map<controller::StreamSegmentId, controller::SegmentRange> ranges_;  // of all segments ever
    std::map<controller::StreamSegmentId, std::int64_t> lengths_;
    std::map<Place, std::uint64_t> present_;  // events seen since begin_quiet()
    std::uint64_t last_event_ = 0;
};

}  // namespace millrace::sim
