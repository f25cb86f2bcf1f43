// Random histories of a stream, and valid cuts of them as a reader group makes them: for property tests.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include <rapidcheck.h>

#include "controller/stream_cut.h"

namespace millrace::controller {

struct History {
    std::vector<Epoch> epochs;
    std::map<StreamSegmentId, SegmentRange> segments;
    std::map<StreamSegmentId, std::int64_t> lengths;  // final ones, and of the last epoch what they are now
};

inline History random_history() {
    History history;
    auto first = *rc::gen::inRange(1, 4);
    history.epochs.push_back(first_epoch(equal_ranges(first, 0, 0), 1));
    std::int32_t number = first;
    auto scales = *rc::gen::inRange(0, 6);
    for (int i = 0; i < scales; ++i) {
        const auto& before = history.epochs.back().segments;
        auto count = static_cast<int>(before.size());
        auto from = *rc::gen::inRange(0, count);
        auto to = *rc::gen::inRange(from, std::min(count, from + 3));
        auto pieces = *rc::gen::inRange(1, 4);
        std::vector<SegmentRange> after(before.begin(), before.begin() + from);
        double begin = before[static_cast<std::size_t>(from)].min_key;
        double end = before[static_cast<std::size_t>(to)].max_key;
        for (int piece = 0; piece < pieces; ++piece) {
            double at = begin + (end - begin) * piece / pieces;
            double next = piece + 1 == pieces ? end : begin + (end - begin) * (piece + 1) / pieces;
            after.push_back({segment_id(number++, history.epochs.back().epoch + 1), at, next});
        }
        after.insert(after.end(), before.begin() + to + 1, before.end());
        history.epochs.push_back(next_epoch(history.epochs.back(), std::move(after), 2));
    }
    for (const Epoch& epoch : history.epochs) {
        for (const SegmentRange& segment : epoch.segments) {
            if (!history.segments.emplace(segment.id, segment).second) continue;
            history.lengths[segment.id] = *rc::gen::inRange(0, 100);
        }
    }
    return history;
}

// Where readers are that began at the start: segments that were read to their end go, and those that follow begin when
// all before them are gone; until then they are in the cut as not reached.
inline StreamCut random_cut(const History& history) {
    std::set<StreamSegmentId> finished;
    std::map<StreamSegmentId, std::int64_t> offsets;
    for (const SegmentRange& segment : history.epochs.front().segments) offsets[segment.id] = 0;
    auto steps = *rc::gen::inRange(0, 20);
    for (int i = 0; i < steps; ++i) {
        auto which = offsets.begin();
        std::advance(which, *rc::gen::inRange<std::size_t>(0, offsets.size()));
        StreamSegmentId id = which->first;
        if (which->second < 0) continue;
        bool ends = *rc::gen::inRange(0, 3) > 0;
        const Epoch* next = nullptr;  // the first without it
        for (const Epoch& epoch : history.epochs) {
            bool in_it = std::ranges::find(epoch.segments, id, &SegmentRange::id) != epoch.segments.end();
            if (epoch.epoch > epoch_of(id) && !in_it && next == nullptr) next = &epoch;
        }
        if (!ends || next == nullptr) {
            which->second = *rc::gen::inRange<std::int64_t>(which->second, history.lengths.at(id) + 1);
            continue;
        }
        offsets.erase(which);
        finished.insert(id);
        const Epoch& before = history.epochs[static_cast<std::size_t>(next->epoch - 1)];
        for (const Successor& successor : successors_of(id, before, *next)) {
            bool may_begin =
                std::ranges::all_of(successor.predecessors, [&](StreamSegmentId p) { return finished.contains(p); });
            offsets[successor.segment.id] = may_begin ? 0 : kNotReached;
        }
    }
    return offsets;
}

}  // namespace millrace::controller
