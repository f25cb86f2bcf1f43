// Watermarks: how far a stream's writers are in their own time. Pure functions and values.
//
// Writers note times with their positions. A watermark says that behind its cut there is nothing older than `lower`,
// which is the time of the slowest writer, and that no writer was beyond `upper`. Its event in the companion stream is
// read by clients; layout and rules are Pravega 0.13's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "controller/stream_cut.h"

namespace millrace::controller {

struct Watermark {
    std::int64_t lower = 0;
    std::int64_t upper = 0;
    std::vector<CutEntry> cut;  // by id
};

// As one event of a segment, with its header.
std::string event_of(const Watermark& watermark);

// ---- writers ----

struct WriterTime {
    std::int64_t time = 0;
    bool alive = true;                             // it did not say that it ended
    std::optional<std::int64_t> lagging_since_ms;  // when it was first seen not to be beyond the last watermark
};

struct WritersVerdict {
    std::vector<std::size_t> lagging;   // not beyond the last watermark, and still waited for
    std::vector<std::size_t> inactive;  // to be forgotten
    std::vector<std::size_t> active;    // all but the inactive ones
    bool advances = false;              // a new watermark is due, with these bounds
    std::int64_t lower = 0;
    std::int64_t upper = 0;
};

// `previous_lower`: of the last watermark. A writer that has not gone beyond it is waited for `timeout_ms`, if it is
// alive; with none it is forgotten at once.
WritersVerdict judge(std::span<const WriterTime> writers, std::optional<std::int64_t> previous_lower,
                     std::int64_t timeout_ms, std::int64_t now_ms);

// ---- the cut ----

// A cover of all keys that is at or beyond every entry. Where the entries leave keys open, or an entry is overtaken at
// some of its keys by a later segment, segments of `newest` fill in, at their beginning: the epoch that made the latest
// of the entries. Not empty: entries, of segments that exist.
std::vector<CutEntry> upper_bound_of(std::vector<CutEntry> entries, const Epoch& newest);

}  // namespace millrace::controller
