#include "sim/stream_model.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "base/uuid.h"
#include "controller/names.h"

namespace millrace::sim {

using controller::Epoch;
using controller::SegmentRange;
using controller::StreamCut;
using controller::StreamSegmentId;
using controller::TransactionId;
using controller::TransactionState;

namespace {

constexpr std::size_t kIdDigits = 8;
constexpr std::chrono::seconds kExpiryTakes{8};  // a retry or two, after the lease and its grace

std::string text_of(const Place& place) {
    return fmt::format("{}.#epoch.{} at {}", controller::number_of(place.segment), controller::epoch_of(place.segment),
                       place.offset);
}

bool contains(const Epoch& epoch, StreamSegmentId segment) {
    return std::ranges::find(epoch.segments, segment, &SegmentRange::id) != epoch.segments.end();
}

}  // namespace

// ---- what clients do ----

std::uint64_t StreamModel::new_event(std::optional<TransactionId> txn, std::size_t part, Place where, Random& random) {
    std::uint64_t id = ++last_event_;
    EventModel& event = events[id];
    event.text = fmt::format("{:08}{}\n", id, std::string(random.below(60), static_cast<char>('a' + id % 26)));
    event.txn = txn;
    event.part = part;
    event.written = where;
    return id;
}

TxnModel& StreamModel::add(const controller::BegunTransaction& begun, std::chrono::steady_clock::time_point asked,
                           std::chrono::milliseconds lease) {
    TxnModel& txn = txns[begun.id];
    txn.ranges = begun.segments;
    for (const SegmentRange& segment : begun.segments)
        txn.parts.push_back({transaction_segment_name(name, segment.id, begun.id), 0, {}});
    txn.lives_until = asked + lease;
    txn.last_request = asked;
    txn.longest = lease;
    return txn;
}

void StreamModel::forget_what_is_under_way() {
    appending.clear();
    report_under_way = false;
    for (auto& [id, txn] : txns) txn.pinging = false;
}

std::optional<std::string> StreamModel::saw(StreamSegmentId segment, std::int64_t offset, std::string_view bytes) {
    while (true) {
        std::size_t end = bytes.find('\n');
        if (end == std::string_view::npos) return std::nullopt;
        Place place{segment, offset};
        std::string_view text = bytes.substr(0, end + 1);
        std::uint64_t id = 0;
        std::from_chars(text.data(), text.data() + std::min(kIdDigits, text.size()), id);
        auto found = events.find(id);
        if (found == events.end() || found->second.text != text)
            return fmt::format("{}: bytes that nobody wrote, in {}", to_string(name), text_of(place));
        EventModel& event = found->second;
        if (event.seen && *event.seen != place) {
            return fmt::format("{}: event {} is in {}, and in {}", to_string(name), id, text_of(*event.seen),
                               text_of(place));
        }
        event.seen = place;
        if (event.told == Told::kNo)
            return fmt::format("{}: event {} was refused, and is in {}", to_string(name), id, text_of(place));
        if (event.txn) {
            const TxnModel& txn = txns.at(*event.txn);
            if (txn.commit == Told::kNothing)
                return fmt::format("{}: event {} of a transaction that nobody commits", to_string(name), id);
            if (number_of(segment) != number_of(txn.ranges[event.part].id))
                return fmt::format("{}: event {} is in another segment: {}", to_string(name), id, text_of(place));
        } else if (segment != event.written.segment || (event.told == Told::kYes && offset != event.written.offset)) {
            return fmt::format("{}: event {} is not where it was written: {}", to_string(name), id, text_of(place));
        }
        present_[place] = id;
        bytes.remove_prefix(end + 1);
        offset += static_cast<std::int64_t>(end) + 1;
    }
}

// ---- at a quiet time ----

std::optional<std::string> StreamModel::check_visible(const ObjectView& now) {
    for (const auto& [id, event] : events) {
        if (event.seen && !present_.contains(*event.seen) && !is_before(*event.seen, now.head))
            return fmt::format("{}: event {} was seen in {}, and is gone", to_string(name), id, text_of(*event.seen));
        if (event.seen && present_.contains(*event.seen) && is_before(*event.seen, now.head))
            return fmt::format("{}: event {} lies before the head: {}", to_string(name), id, text_of(*event.seen));
        if (!event.txn) {
            if (event.told == Told::kYes && !event.seen)
                return fmt::format("{}: event {} was acknowledged, and is not there", to_string(name), id);
            continue;
        }
        TransactionState state = txns.at(*event.txn).state;
        if (event.seen && state != TransactionState::kCommitted)
            return fmt::format("{}: event {} of a transaction in state {} is visible", to_string(name), id,
                               static_cast<int>(state));
        if (!event.seen && state == TransactionState::kCommitted && event.told == Told::kYes)
            return fmt::format("{}: event {} of a committed transaction is not there", to_string(name), id);
    }
    if (auto wrong = check_parts_together()) return wrong;
    return check_order();
}

// A part comes as one piece: its events in their order, and nothing between them.
std::optional<std::string> StreamModel::check_parts_together() const {
    std::map<std::pair<TransactionId, std::size_t>, std::pair<std::uint64_t, Place>> last;  // event and where it ends
    for (const auto& [place, id] : present_) {
        const EventModel& event = events.at(id);
        if (!event.txn) continue;
        Place end{place.segment, place.offset + static_cast<std::int64_t>(event.text.size())};
        auto [before, first] = last.try_emplace({*event.txn, event.part}, id, end);
        if (first) continue;
        bool follows = before->second.second == place && before->second.first < id;
        if (!follows) return fmt::format("{}: event {} is torn from its transaction", to_string(name), id);
        before->second = {id, end};
    }
    return std::nullopt;
}

// What was told to be committed lies before what was asked to be committed later.
std::optional<std::string> StreamModel::check_order() const {
    std::vector<std::pair<Place, TransactionId>> all;  // by place
    for (const auto& [place, id] : present_) {
        const EventModel& event = events.at(id);
        if (!event.txn) continue;
        if (all.empty() || all.back().second != *event.txn || all.back().first.segment != place.segment)
            all.emplace_back(place, *event.txn);
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
        const TxnModel& first = txns.at(all[i].second);
        for (std::size_t j = i + 1; j < all.size(); ++j) {
            const TxnModel& second = txns.at(all[j].second);
            bool wrong = second.commit == Told::kYes && second.commit_told < first.commit_asked &&
                         ranges_.at(all[i].first.segment).overlaps(ranges_.at(all[j].first.segment));
            if (wrong) {
                return fmt::format("{}: transaction {} was committed before {}, and lies behind it", to_string(name),
                                   to_hex(all[j].second), to_hex(all[i].second));
            }
        }
    }
    return std::nullopt;
}

std::optional<std::string> StreamModel::check_state(const TransactionId& id, TransactionState state,
                                                    std::chrono::steady_clock::time_point now,
                                                    std::chrono::steady_clock::time_point booted_at,
                                                    std::chrono::milliseconds grace) {
    TxnModel& txn = txns.at(id);
    TransactionState before = std::exchange(txn.state, state);
    auto wrong = [&](std::string_view what) {
        return fmt::format("{}: transaction {} {}, state {}", to_string(name), to_hex(id), what,
                           static_cast<int>(state));
    };
    bool open = state == TransactionState::kOpen;
    bool committed = state == TransactionState::kCommitted;
    bool aborted = state == TransactionState::kAborted;
    if (!open && !committed && !aborted) return wrong("comes to no end");
    if (before != TransactionState::kOpen && state != before) return wrong("was ended otherwise before");
    if (txn.commit == Told::kYes && !committed) return wrong("was told to be committed");
    if (txn.abort == Told::kYes && !aborted) return wrong("was told to be aborted");
    if (txn.commit == Told::kNo && !aborted) return wrong("was told not to be committed");
    if (txn.abort == Told::kNo && !committed) return wrong("was told not to be aborted");
    if (committed && txn.commit == Told::kNothing) return wrong("is committed, which nobody asked for");
    bool early = aborted && txn.abort == Told::kNothing && !seal_asked && before == TransactionState::kOpen &&
                 now < txn.lives_until;
    if (early) return wrong("is aborted before its lease ends");
    auto expires = std::max(txn.last_request, booted_at) + txn.longest + grace + kExpiryTakes;
    if (open && now > expires) return wrong("outlives its lease");
    if (open && view.sealed) return wrong("is in a sealed stream");
    return std::nullopt;
}

std::optional<std::string> StreamModel::check_part(const TransactionId& id, std::size_t part, std::int64_t length) {
    TxnModel::Part& known = txns.at(id).parts[part];
    if (known.writing) {
        EventModel& event = events.at(*known.writing);
        bool there = length == known.length + static_cast<std::int64_t>(event.text.size());
        event.told = there ? Told::kYes : Told::kNo;
        if (there) known.length = length;
        known.writing.reset();
    }
    if (length == known.length) return std::nullopt;
    return fmt::format("{}: {} has {} bytes, and {} were acknowledged", to_string(name), known.segment, length,
                       known.length);
}

std::optional<std::string> StreamModel::check_head(const ObjectView& now, const std::vector<StreamCut>& causes) const {
    if (now.head == view.head) return std::nullopt;
    for (const StreamCut& cause : causes) {
        if (cause == now.head) return std::nullopt;
    }
    for (const auto& [id, event] : events) {
        if (!event.seen || !is_before(*event.seen, now.head) || is_before(*event.seen, view.head)) continue;
        bool may_go = std::ranges::any_of(causes, [&](const StreamCut& cut) { return is_before(*event.seen, cut); });
        if (!may_go) return fmt::format("{}: event {} was removed, and nobody said so", to_string(name), id);
    }
    return std::nullopt;
}

void StreamModel::learn(const ObjectView& now) {
    view = now;
    for (const Epoch& epoch : now.epochs) {
        for (const SegmentRange& segment : epoch.segments) {
            ranges_[segment.id] = segment;
            lengths_.try_emplace(segment.id, 0);
        }
    }
}

void StreamModel::reset() {
    ++life;
    subscribed = false;
    report_under_way = false;
    view = ObjectView();
    txns.clear();
    untold.clear();
    events.clear();
    seal_asked = false;
    appending.clear();
    reported.clear();
    reporting.reset();
    ranges_.clear();
    lengths_.clear();
    present_.clear();
}

// ---- cuts ----

StreamCut StreamModel::start() const {
    StreamCut cut;
    for (const SegmentRange& segment : view.epochs.front().segments) cut[segment.id] = 0;
    return cut;
}

bool StreamModel::is_before(const Place& place, const StreamCut& cut) const {
    auto on = cut.find(place.segment);
    if (on != cut.end()) return place.offset < on->second;
    auto range = ranges_.find(place.segment);
    if (range == ranges_.end()) return false;
    return std::ranges::any_of(cut, [&](const auto& entry) {
        return entry.first > place.segment && ranges_.at(entry.first).overlaps(range->second);
    });
}

std::vector<SegmentRange> StreamModel::overlapping(const std::vector<SegmentRange>& in, const SegmentRange& with,
                                                   const Epoch& not_in) const {
    std::vector<SegmentRange> found;
    for (const SegmentRange& each : in) {
        if (each.overlaps(with) && !contains(not_in, each.id)) found.push_back(each);
    }
    return found;
}

StreamCut StreamModel::walk(StreamCut cut, Random& random) const {
    for (std::uint64_t steps = random.below(12); steps > 0; --steps) {
        auto entry = std::next(cut.begin(), static_cast<std::ptrdiff_t>(random.below(cut.size())));
        StreamSegmentId segment = entry->first;
        std::int64_t end = lengths_.at(segment);
        if (entry->second < end && random.below(2) == 0) {
            // The end of some event.
            std::vector<std::int64_t> ends;
            for (const auto& [id, event] : events) {
                if (!event.seen || event.seen->segment != segment || event.seen->offset < entry->second) continue;
                ends.push_back(event.seen->offset + static_cast<std::int64_t>(event.text.size()));
            }
            if (!ends.empty()) entry->second = std::min(end, ends[random.below(ends.size())]);
            continue;
        }
        entry->second = std::max(entry->second, end);
        // Its successors, when all that they follow was read to its end.
        std::size_t last = view.epochs.size();
        for (std::size_t e = 0; e < view.epochs.size(); ++e) {
            if (contains(view.epochs[e], segment)) last = e;
        }
        if (last + 1 >= view.epochs.size()) continue;
        const Epoch& here = view.epochs[last];
        const Epoch& next = view.epochs[last + 1];
        StreamCut reached;
        std::set<StreamSegmentId> left;
        for (const SegmentRange& follows : overlapping(next.segments, ranges_.at(segment), here)) {
            reached[follows.id] = 0;
            for (const SegmentRange& before : overlapping(here.segments, follows, next)) left.insert(before.id);
        }
        // And what follows those too.
        bool all = std::ranges::all_of(left, [&](StreamSegmentId id) {
            auto found = cut.find(id);
            return found != cut.end() && found->second == lengths_.at(id);
        });
        for (StreamSegmentId id : left) {
            for (const SegmentRange& follows : overlapping(next.segments, ranges_.at(id), here))
                all = all && reached.contains(follows.id);
        }
        if (!all) continue;
        for (StreamSegmentId id : left) cut.erase(id);
        cut.merge(reached);
    }
    return cut;
}

}  // namespace millrace::sim
