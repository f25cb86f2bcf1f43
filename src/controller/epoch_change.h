// EpochChange: one set of segments of a stream follows another. What a scale, an update of the number of segments and a
// transaction that is committed across a scale have in common.
//
//   EpochChange change{current, next_epoch(current, segments, creation_ms)};
//   auto made = co_await make_segments(context, name, change, config);      // nobody knows of them yet
//   Batch shown;
//   show(name, change, shown);                                              // the epoch, and what follows what
//   ... commit `shown`
//   auto lengths = co_await seal_replaced(context, name, change);           // writers move on
//   settle(name, change, *lengths, record, batch);                          // the current epoch is the next one
//   ... commit `batch` with the record
//
// The order matters: a writer or reader that meets a seal asks for the successors at once, and would take none for the
// end of the stream. Every step may be repeated; what all of them are made from has to be in the stream's record before
// the first (an intent), with the stream's lock held until the last. carry_through() does all but the last commit.
// Several epochs may be shown by one commit (a chain of changes), before the seals of the first.
#pragma once

#include <vector>

#include "controller/context.h"
#include "controller/records/stream_record.h"

namespace millrace::controller {

struct EpochChange {
    Epoch before;
    Epoch after;  // of the next number

    std::vector<StreamSegmentId> made() const;      // in `after` alone
    std::vector<StreamSegmentId> replaced() const;  // in `before` alone
};

// From the current epoch to one in which new segments, numbered on from `last_number` by key, take the place of some.
// `replaced` is ascending; `ranges` cover the same keys.
EpochChange replacing(Epoch current, const std::vector<StreamSegmentId>& replaced, std::vector<KeyRange> ranges,
                      std::int32_t last_number, std::int64_t creation_ms);

Async<> make_segments(Context& context, StreamName name, EpochChange change, StreamConfig config);
void show(const StreamName& name, const EpochChange& change, Batch& batch);
Async<std::vector<std::int64_t>> seal_replaced(Context& context, StreamName name,
                                               EpochChange change);  // lengths, in the order of replaced()
// Into the record and the batch: lengths, current epoch, last number.
void settle(const StreamName& name, const EpochChange& change, const std::vector<std::int64_t>& lengths,
            StreamRecord& record, Batch& batch);

// All of it; the caller commits the batch, with the record. Both outlive the call.
Async<> carry_through(Context& context, StreamName name, EpochChange change, StreamConfig config, StreamRecord& record,
                      Batch& batch);

Async<Epoch> current_epoch(Context& context, StreamName name, std::int32_t epoch);  // kCorrupt: there is no such

}  // namespace millrace::controller
