#include "controller/epoch_change.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "controller/names.h"
#include "controller/records/sealed_segment_record.h"
#include "controller/stream_cut.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

// Segments of the one and not of the other, in the order of the one.
std::vector<StreamSegmentId> only_in(const Epoch& one, const Epoch& other) {
    std::vector<StreamSegmentId> others = ids_of(other.segments);
    std::ranges::sort(others);
    std::vector<StreamSegmentId> only;
    for (const SegmentRange& segment : one.segments) {
        if (!std::ranges::binary_search(others, segment.id)) only.push_back(segment.id);
    }
    return only;
}

}  // namespace

std::vector<StreamSegmentId> EpochChange::made() const { return only_in(after, before); }
std::vector<StreamSegmentId> EpochChange::replaced() const { return only_in(before, after); }

EpochChange replacing(Epoch current, const std::vector<StreamSegmentId>& replaced, std::vector<KeyRange> ranges,
                      std::int32_t last_number, std::int64_t creation_ms) {
    std::vector<SegmentRange> segments;
    for (const SegmentRange& segment : current.segments) {
        if (!std::ranges::binary_search(replaced, segment.id)) segments.push_back(segment);
    }
    std::ranges::sort(ranges, {}, &KeyRange::from);
    for (const KeyRange& range : ranges) {
        segments.push_back({segment_id(++last_number, current.epoch + 1), range.from, range.to});
    }
    std::ranges::sort(segments, {}, &SegmentRange::min_key);
    Epoch next = next_epoch(current, std::move(segments), creation_ms);
    return {std::move(current), std::move(next)};
}

Async<> make_segments(Context& context, StreamName name, EpochChange change, StreamConfig config) {
    auto created = co_await context.segments.create(name, change.made(), config);
    co_return created;
}

void show(const StreamName& name, const EpochChange& change, Batch& batch) {
    batch.put(EpochRecord::key(name, change.after.epoch), EpochRecord{change.after}.encode());
    SealedSegmentRecord sealed{change.after.epoch, SealedSegmentRecord::kUnknownLength};
    for (StreamSegmentId id : change.replaced()) batch.put(SealedSegmentRecord::key(name, id), sealed.encode());
}

Async<std::vector<std::int64_t>> seal_replaced(Context& context, StreamName name, EpochChange change) {
    auto lengths = co_await context.segments.seal(name, change.replaced());
    co_return lengths;
}

void settle(const StreamName& name, const EpochChange& change, const std::vector<std::int64_t>& lengths,
            StreamRecord& record, Batch& batch) {
    std::vector<StreamSegmentId> replaced = change.replaced();
    for (std::size_t i = 0; i < replaced.size(); ++i) {
        SealedSegmentRecord sealed{change.after.epoch, lengths[i]};
        batch.put(SealedSegmentRecord::key(name, replaced[i]), sealed.encode());
    }
    record.current_epoch = change.after.epoch;
    for (StreamSegmentId id : change.made()) record.last_number = std::max(record.last_number, number_of(id));
}

Async<> carry_through(Context& context, StreamName name, EpochChange change, StreamConfig config, StreamRecord& record,
                      Batch& batch) {
    auto made = co_await make_segments(context, name, change, std::move(config));
    if (!made) co_return made;
    Batch shown;
    show(name, change, shown);
    auto committed = co_await context.metadata.commit(name.scope, std::move(shown));
    if (!committed) co_return committed;
    auto lengths = co_await seal_replaced(context, name, change);
    if (!lengths) co_return fail(lengths.error());
    settle(name, change, *lengths, record, batch);
    co_return Result<>();
}

Async<Epoch> current_epoch(Context& context, StreamName name, std::int32_t epoch) {
    auto found = co_await context.metadata.epoch(name, epoch);
    if (!found) co_return fail(found.error());
    if (!*found) co_return fail(Errc::kCorrupt, fmt::format("stream {} has no epoch {}", to_string(name), epoch));
    co_return std::move(**found);
}

}  // namespace millrace::controller
