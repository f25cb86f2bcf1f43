#include "controller/queries.h"

#include <algorithm>

#include <fmt/format.h>

#include "controller/names.h"
#include "controller/page_token.h"
#include "controller/records/sealed_segment_record.h"
#include "controller/records/subscriber_record.h"
#include "controller/records/table_record.h"
#include "controller/stream_cut.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

// Of a reader group's state, in bytes. Clients compact it when it has 512 KiB, more or less, and keep two such lengths.
constexpr std::int64_t kMaxGroupState = 64 << 20;
constexpr std::int64_t kGroupStatePiece = 1 << 20;

bool never_hidden(std::string_view) { return false; }

Error no_stream(const StreamName& name) { return Error(Errc::kNotFound, fmt::format("no stream {}", to_string(name))); }

}  // namespace

// ---- listings ----

Async<bool> Queries::scope_exists(std::string scope) {
    auto scoped = check_scoped(scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_possible_name(scope)) co_return false;
    auto found = co_await context_.metadata.scope(scope);
    if (!found) co_return fail(found.error());
    co_return found->has_value();
}

Async<Page<std::string>> Queries::scopes(std::string token) {
    auto last = last_name_of(token);
    if (!last) co_return fail(last.error());
    Page<std::string> page;
    std::size_t limit = context_.options.page_items;
    std::string after = last->empty() ? std::string() : ScopeRecord::key(*last);
    for (std::uint32_t i = 0; i < context_.metadata.containers(); ++i) {
        std::string prefix(ScopeRecord::kPrefix);
        auto entries = co_await context_.metadata.scan_container(ContainerId(i), std::move(prefix), after, limit);
        if (!entries) co_return fail(entries.error());
        for (const auto& entry : *entries) page.items.push_back(entry.key.substr(ScopeRecord::kPrefix.size()));
    }
    std::ranges::sort(page.items);
    if (page.items.size() > limit) page.items.resize(limit);
    page.token = page.items.empty() ? std::move(token) : page_token(page.items.back());
    co_return std::move(page);
}

// Entries by the part of their key behind the prefix. A page after the last repeats the token it was asked with.
Async<Queries::Listing> Queries::list(std::string scope, std::string prefix, std::string token, Hidden hidden) {
    auto exists = co_await scope_exists(scope);
    if (!exists) co_return fail(exists.error());
    if (!*exists) co_return Listing();
    auto last = last_name_of(token);
    if (!last) co_return fail(last.error());
    Page<std::string> page;
    std::string after = last->empty() ? std::string() : prefix + *last;
    while (page.items.size() < context_.options.page_items) {
        auto entries = co_await context_.metadata.scan(scope, prefix, after);
        if (!entries) co_return fail(entries.error());
        if (entries->empty()) break;
        for (const container::TableEntry& entry : *entries) {
            if (page.items.size() == context_.options.page_items) break;
            if (!hidden(entry.value)) page.items.push_back(entry.key.substr(prefix.size()));
        }
        after = entries->back().key;
    }
    page.token = page.items.empty() ? std::move(token) : page_token(page.items.back());
    co_return Listing(std::move(page));
}

Async<Queries::Listing> Queries::streams(std::string scope, std::string token) {
    std::string prefix = StreamRecord::prefix(scope);
    return list(std::move(scope), std::move(prefix), std::move(token), StreamRecord::is_deleting);
}

Async<Queries::Listing> Queries::streams_by_tag(std::string scope, std::string tag, std::string token) {
    if (tag.empty()) co_return fail(Errc::kInvalidArgument, "the tag to look for is empty");
    auto listing = co_await list(scope, TagEntry::prefix(scope, tag), std::move(token), never_hidden);
    co_return listing;
}

Async<Queries::Listing> Queries::groups(std::string scope, std::string token) {
    std::string prefix = GroupRecord::prefix(scope);
    return list(std::move(scope), std::move(prefix), std::move(token), GroupRecord::is_deleting);
}

Async<Queries::Listing> Queries::tables(std::string scope, std::string token) {
    std::string prefix = TableRecord::prefix(scope);
    return list(std::move(scope), std::move(prefix), std::move(token), TableRecord::is_deleting);
}

// ---- streams and their segments ----

Async<StreamRecord> Queries::existing(StreamName name) {
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_possible_name(name)) co_return fail(no_stream(name));
    auto found = co_await context_.metadata.stream(name);
    if (!found) co_return fail(found.error());
    bool exists = *found && (*found)->record.state != StreamState::kDeleting;
    if (!exists) co_return fail(no_stream(name));
    co_return std::move((*found)->record);
}

Async<StreamRecord> Queries::made(StreamName name) {
    auto record = co_await existing(name);
    bool unmade = record && record->state == StreamState::kCreating;
    if (unmade) co_return fail(Errc::kUnavailable, fmt::format("stream {} is being created", to_string(name)));
    co_return record;
}

Async<Epoch> Queries::known_epoch(StreamName name, std::int32_t epoch) {
    auto found = co_await context_.metadata.epoch(name, epoch);
    if (!found) co_return fail(found.error());
    if (!*found) co_return fail(Errc::kNotFound, fmt::format("stream {} has no epoch {}", to_string(name), epoch));
    co_return std::move(**found);
}

Async<bool> Queries::stream_exists(StreamName name) {
    auto record = co_await existing(name);
    if (!record && record.error() == Errc::kNotFound) co_return false;
    if (!record) co_return fail(record.error());
    co_return true;
}

Async<StreamConfig> Queries::stream_config(StreamName name) {
    auto record = co_await existing(name);
    if (!record) co_return fail(record.error());
    co_return std::move(record->config);
}

Async<std::vector<SegmentRange>> Queries::current_segments(StreamName name) {
    auto record = co_await made(name);
    if (!record) co_return fail(record.error());
    if (record->state == StreamState::kSealed) co_return std::vector<SegmentRange>();
    auto epoch = co_await known_epoch(name, record->current_epoch);
    if (!epoch) co_return fail(epoch.error());
    co_return std::move(epoch->segments);
}

Async<std::vector<SegmentRange>> Queries::epoch_segments(StreamName name, std::int32_t epoch) {
    if (epoch < 0) co_return fail(Errc::kInvalidArgument, fmt::format("epoch {}", epoch));
    auto record = co_await made(name);
    if (!record) co_return fail(record.error());
    auto found = co_await known_epoch(name, epoch);
    if (!found) co_return fail(found.error());
    co_return std::move(found->segments);
}

Async<std::vector<Epoch>> Queries::epochs(StreamName name, std::int32_t first, std::size_t limit) {
    if (first < 0) co_return fail(Errc::kInvalidArgument, fmt::format("epoch {}", first));
    auto record = co_await made(name);
    if (!record) co_return fail(record.error());
    if (first > record->current_epoch || limit == 0) co_return std::vector<Epoch>();
    std::int64_t wanted = first + static_cast<std::int64_t>(std::min<std::size_t>(limit, 1'000'000)) - 1;
    auto last = static_cast<std::int32_t>(std::min<std::int64_t>(record->current_epoch, wanted));
    auto epochs = co_await context_.metadata.epochs(name, first, last);
    bool is_forgotten = !epochs && epochs.error() == Errc::kNotFound;
    if (!is_forgotten) co_return epochs;
    auto oldest = co_await context_.metadata.oldest_epoch(name);
    if (!oldest) co_return fail(oldest.error());
    if (oldest->epoch <= first) co_return fail(Errc::kUnavailable, "the stream's history changes");
    auto kept = co_await this->epochs(name, oldest->epoch, limit);
    co_return kept;
}

// Those of a change that is under way are known before the stream has gone over to them: its segments can be read and
// written as soon as the ones before are sealed.
Async<std::optional<std::vector<Epoch>>> Queries::epochs_if_known(StreamName name, std::int32_t current,
                                                                  EpochSpan span) {
    using Known = std::optional<std::vector<Epoch>>;
    if (span.first < 0) co_return Known();
    if (span.last > current) {
        auto newest = co_await context_.metadata.epoch(name, span.last);
        if (!newest) co_return fail(newest.error());
        if (!*newest) co_return Known();
    }
    auto epochs = co_await context_.metadata.epochs(name, span.first, span.last);
    if (!epochs && epochs.error() == Errc::kNotFound) co_return Known();
    if (!epochs) co_return fail(epochs.error());
    co_return Known(std::move(*epochs));
}

Async<StreamCut> Queries::head(StreamName name) {
    auto record = co_await made(name);
    if (!record) co_return fail(record.error());
    if (!record->head.empty()) co_return std::move(record->head);
    auto first = co_await known_epoch(name, 0);
    if (!first) co_return fail(first.error());
    StreamCut start;
    for (const SegmentRange& segment : first->segments) start[segment.id] = 0;
    co_return std::move(start);
}

// Sealed-segment entries are written before the segments are sealed, and nothing is cached: nobody who met the seal
// sees none.
Async<std::vector<Successor>> Queries::successors(StreamName name, StreamSegmentId segment) {
    auto record = co_await made(name);
    if (!record) co_return fail(record.error());
    std::string key = SealedSegmentRecord::key(name, segment);
    auto sealed = co_await context_.metadata.get<SealedSegmentRecord>(name.scope, std::move(key));
    if (!sealed) co_return fail(sealed.error());
    if (!*sealed) {
        auto oldest = co_await context_.metadata.oldest_epoch(name);
        if (!oldest) co_return fail(oldest.error());
        bool is_forgotten = epoch_of(segment) < oldest->epoch &&
                            std::ranges::find(oldest->segments, segment, &SegmentRange::id) == oldest->segments.end();
        if (is_forgotten) {  // no successors would mean that the stream ends here
            co_return fail(Errc::kNotFound,
                           fmt::format("segment {} was cut off long ago", segment_name(name, segment)));
        }
        co_return std::vector<Successor>();
    }
    std::int32_t epoch = (*sealed)->record.sealing_epoch;
    auto epochs = co_await context_.metadata.epochs(name, epoch - 1, epoch);
    if (!epochs) co_return fail(epochs.error());
    co_return successors_of(segment, epochs->front(), epochs->back());
}

Async<bool> Queries::is_segment_valid(StreamName name, StreamSegmentId segment) {
    auto current = co_await current_segments(name);
    if (!current) co_return fail(current.error());
    co_return std::ranges::find(*current, segment, &SegmentRange::id) != current->end();
}

Async<bool> Queries::is_cut_valid(StreamName name, StreamCut cut) {
    auto record = co_await made(name);
    if (!record) co_return fail(record.error());
    if (cut.empty()) co_return false;
    auto epochs = co_await epochs_if_known(name, record->current_epoch, epochs_of(cut));
    if (!epochs) co_return fail(epochs.error());
    if (!*epochs) co_return false;
    auto line = line_of(cut, **epochs);
    co_return line&& is_valid(*line, cut, **epochs);
}

Async<std::vector<StreamSegmentId>> Queries::between(StreamName name, StreamCut from, StreamCut to) {
    if (from.empty() && to.empty()) co_return fail(Errc::kInvalidArgument, "one of the two cuts has to be given");
    auto record = co_await made(name);
    if (!record) co_return fail(record.error());
    EpochSpan span = from.empty() ? epochs_of(to) : epochs_of(from);
    if (from.empty()) {
        auto oldest = co_await context_.metadata.oldest_epoch(name);
        if (!oldest) co_return fail(oldest.error());
        span.first = std::min(span.first, oldest->epoch);
    }
    EpochSpan of_to = to.empty() ? EpochSpan{record->current_epoch, record->current_epoch} : epochs_of(to);
    span.first = std::min(span.first, of_to.first);
    span.last = std::max(span.last, of_to.last);
    auto known = co_await epochs_if_known(name, record->current_epoch, span);
    if (!known) co_return fail(known.error());
    if (!*known) {
        co_return fail(Errc::kInvalidArgument,
                       fmt::format("a cut names a segment that stream {} does not have", to_string(name)));
    }
    std::vector<Epoch> epochs = std::move(**known);
    auto from_line = from.empty() ? Result<CutLine>(CutLine::at_start_of(epochs.front())) : line_of(from, epochs);
    if (!from_line) co_return fail(Errc::kInvalidArgument, from_line.error().message());
    // Whoever leaves out the second means the current segments, also when the first is ahead of them.
    auto current = std::ranges::find(epochs, record->current_epoch, &Epoch::epoch);
    auto to_line = to.empty() ? Result<CutLine>(CutLine::at_start_of(*current)) : line_of(to, epochs);
    if (!to_line) co_return fail(Errc::kInvalidArgument, to_line.error().message());
    bool reversed = !from.empty() && !to.empty() && !to_line->is_at_or_after(*from_line);
    if (reversed) co_return fail(Errc::kInvalidArgument, "the second cut is before the first");
    std::vector<StreamSegmentId> ids;
    for (const SegmentRange& segment : segments_between(*from_line, *to_line, epochs)) ids.push_back(segment.id);
    co_return std::move(ids);
}

// ---- reader groups ----

Async<std::optional<ReaderGroupConfig>> Queries::group_config(std::string scope, std::string group) {
    auto exists = co_await scope_exists(scope);
    if (!exists) co_return fail(exists.error());
    if (!*exists) co_return fail(Errc::kNotFound, fmt::format("no scope {}", scope));
    if (!is_possible_name(group)) co_return std::optional<ReaderGroupConfig>();
    auto found = co_await context_.metadata.group(scope, group);
    if (!found) co_return fail(found.error());
    if (!*found) co_return std::optional<ReaderGroupConfig>();
    GroupRecord& record = (*found)->record;
    bool usable = record.state == GroupRecord::State::kActive || record.state == GroupRecord::State::kUpdating;
    if (!usable) co_return std::optional<ReaderGroupConfig>();
    co_return std::optional<ReaderGroupConfig>(std::move(record.config));
}

// Its clients keep the state in the segment at key 0 of the group's own stream, and cut off what they do not need any
// more: perhaps while it is read.
Async<std::vector<std::string>> Queries::online_readers(std::string scope, std::string group) {
    StreamName stream = reader_group_stream(scope, group);
    auto segments = co_await current_segments(stream);
    if (!segments && segments.error() == Errc::kNotFound) co_return std::vector<std::string>();
    if (!segments) co_return fail(segments.error());
    if (segments->empty()) co_return std::vector<std::string>();  // sealed: the group is being deleted
    std::string segment = segment_name(stream, segments->front().id);
    constexpr int kTries = 5;
    for (int i = 0; i < kTries; ++i) {
        auto readers = co_await read_readers(segment);
        if (readers) {
            const std::set<std::string>& ids = readers->ids();
            co_return std::vector<std::string>(ids.begin(), ids.end());
        }
        if (readers.error() == Errc::kNotFound) co_return std::vector<std::string>();
        if (readers.error() == Errc::kTruncated) continue;
        co_return fail(readers.error().code(),
                       fmt::format("the state of reader group {}/{}, {}", scope, group, readers.error().message()));
    }
    co_return fail(Errc::kUnavailable, fmt::format("the state of reader group {}/{} changes too fast", scope, group));
}

Async<OnlineReaders> Queries::read_readers(std::string segment) {
    auto info = co_await context_.segments.info(segment);
    if (!info) co_return fail(info.error());
    std::int64_t size = info->length - info->start_offset;
    if (size > kMaxGroupState) co_return fail(Errc::kLimit, fmt::format("of {} bytes: too many to look at", size));
    OnlineReaders readers;
    std::int64_t at = info->start_offset;
    while (at < info->length) {
        auto wanted = static_cast<std::size_t>(std::min(info->length - at, kGroupStatePiece));
        auto piece = co_await context_.segments.read(segment, at, wanted);
        if (!piece) co_return fail(piece.error());
        if (piece->empty()) co_return fail(Errc::kCorrupt, fmt::format("ends at {} of {}", at, info->length));
        for (const bytes::Slice& slice : piece->slices()) {
            auto added = readers.add(slice.span());
            if (!added) co_return fail(added.error());
        }
        at += static_cast<std::int64_t>(piece->size());
    }
    auto whole = readers.finish();
    if (!whole) co_return fail(whole.error());
    co_return std::move(readers);
}

Async<std::optional<std::vector<std::string>>> Queries::subscribers(StreamName name) {
    auto exists = co_await stream_exists(name);
    if (!exists) co_return fail(exists.error());
    if (!*exists) co_return std::optional<std::vector<std::string>>();
    std::vector<std::string> names;
    std::string prefix = SubscriberRecord::prefix(name);
    std::string after;
    while (true) {
        auto page = co_await context_.metadata.scan(name.scope, prefix, after);
        if (!page) co_return fail(page.error());
        if (page->empty()) break;
        for (const container::TableEntry& entry : *page) names.push_back(entry.key.substr(prefix.size()));
        after = page->back().key;
    }
    co_return std::optional<std::vector<std::string>>(std::move(names));
}

}  // namespace millrace::controller
