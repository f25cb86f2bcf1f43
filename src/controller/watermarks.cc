#include "controller/watermarks.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/log.h"
#include "controller/names.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

// Of segments that are in both positions no offset goes back; of others nothing can be said.
bool is_further(const StreamCut& before, const StreamCut& after) {
    return std::ranges::all_of(after, [&](const auto& place) {
        auto known = before.find(place.first);
        return known == before.end() || known->second <= place.second;
    });
}

NoteTimeStatus judge_note(const WriterRecord* before, const WriterNote& note) {
    if (before == nullptr) return NoteTimeStatus::kSuccess;
    if (note.time < before->time) return NoteTimeStatus::kInvalidTime;
    return is_further(before->position, note.position) ? NoteTimeStatus::kSuccess : NoteTimeStatus::kInvalidPosition;
}

// The companion is not there, or takes nothing any more: somebody else's doing, and no reason to try again.
bool is_closed(const Error& error) { return error == Errc::kNotFound || error == Errc::kSealed; }

}  // namespace

// ---- notes ----

// Notes that come while another one is being kept are kept together, by the first of them that gets the lock.
Async<NoteTimeStatus> Watermarks::note(StreamName stream, WriterNote note) {
    auto scoped = check_scoped(stream.scope);
    if (!scoped) co_return fail(scoped.error());
    if (note.writer.empty()) co_return fail(Errc::kInvalidArgument, "the writer has no name");
    if (note.writer.size() > kWriterNameBytes) co_return fail(Errc::kInvalidArgument, "the writer's name is too long");
    if (note.position.size() > kListLimit) {
        co_return fail(Errc::kInvalidArgument,
                       fmt::format("a position has at most {} segments, not {}", kListLimit, note.position.size()));
    }
    auto mine = std::make_shared<Waiting>(std::move(note));
    queued_[stream].push_back(mine);
    KeyedMutex::Lock lock = co_await context_.lock_stream(stream);
    if (mine->result) co_return std::move(*mine->result);
    auto taken = queued_.extract(stream);
    const Queue& queue = taken.mapped();
    auto found = co_await streams_.settled(stream);
    std::optional<Error> failure;
    if (!found) failure = found.error();
    if (found && !*found) failure = Error(Errc::kNotFound, fmt::format("no stream {}", to_string(stream)));
    std::vector<NoteTimeStatus> statuses;
    if (!failure) {
        auto noted = co_await note_queued(stream, queue);
        if (noted) statuses = std::move(*noted);
        if (!noted) failure = noted.error();
    }
    for (std::size_t i = 0; i < queue.size(); ++i) {
        if (failure) queue[i]->result = fail(*failure);
        if (!failure) queue[i]->result = statuses[i];
    }
    co_return std::move(*mine->result);
}

Async<std::vector<NoteTimeStatus>> Watermarks::note_queued(StreamName stream, const Queue& queue) {
    std::vector<WriterNote> notes;
    for (const auto& waiting : queue) notes.push_back(waiting->note);
    return note_all(std::move(stream), std::move(notes));
}

Async<std::vector<NoteTimeStatus>> Watermarks::note_all(StreamName stream, std::vector<WriterNote> notes) {
    std::map<std::string, Stored<WriterRecord>> known;
    std::set<std::string> changed;
    std::vector<NoteTimeStatus> statuses;
    std::size_t added = 0;
    for (WriterNote& note : notes) {
        statuses.push_back(NoteTimeStatus::kSuccess);
        if (note.time == kNoTime) continue;
        std::string key = WriterRecord::key(stream, note.writer);
        auto writer = known.find(key);
        if (writer == known.end()) {
            auto found = co_await context_.metadata.get<WriterRecord>(stream.scope, key);
            if (!found) co_return fail(found.error());
            if (*found) writer = known.emplace(key, std::move(**found)).first;
        }
        statuses.back() = judge_note(writer == known.end() ? nullptr : &writer->second.record, note);
        if (statuses.back() != NoteTimeStatus::kSuccess) continue;
        if (writer == known.end()) {
            writer = known.emplace(key, Stored<WriterRecord>()).first;
            ++added;
        }
        WriterRecord& record = writer->second.record;
        record.time = note.time;
        record.alive = true;
        record.position = std::move(note.position);
        changed.insert(key);
    }
    if (changed.empty()) co_return std::move(statuses);
    Watched& watched = watched_[stream];
    if (watched.writers + added > kWriters && added > 0) {
        co_return fail(Errc::kNoSpace, fmt::format("{} writers note times on stream {}: no more are taken before some "
                                                   "of them end or fall silent",
                                                   watched.writers, to_string(stream)));
    }
    watched.writers += added;
    Batch batch;
    batch.adds();
    for (const std::string& key : changed) batch.put(key, known[key].record.encode(), known[key].version);
    auto committed = co_await context_.metadata.commit(stream.scope, std::move(batch));
    if (!committed) co_return fail(committed.error());
    co_return std::move(statuses);
}

Async<RemoveWriterStatus> Watermarks::remove_writer(StreamName stream, std::string writer) {
    auto scoped = check_scoped(stream.scope);
    if (!scoped) co_return fail(scoped.error());
    bool possible = is_possible_name(stream) && !writer.empty() && writer.size() <= kWriterNameBytes;
    if (!possible) co_return RemoveWriterStatus::kUnknownWriter;
    KeyedMutex::Lock lock = co_await context_.lock_stream(stream);
    std::string key = WriterRecord::key(stream, writer);
    auto found = co_await context_.metadata.get<WriterRecord>(stream.scope, key);
    if (!found) co_return fail(found.error());
    if (!*found) co_return RemoveWriterStatus::kUnknownWriter;
    Stored<WriterRecord>& stored = **found;
    if (!stored.record.alive) co_return RemoveWriterStatus::kSuccess;
    stored.record.alive = false;
    Batch batch;
    batch.put(std::move(key), stored.record.encode(), stored.version);
    auto committed = co_await context_.metadata.commit(stream.scope, std::move(batch));
    if (!committed) co_return fail(committed.error());
    co_return RemoveWriterStatus::kSuccess;
}

// ---- rounds ----

Async<> Watermarks::load() {
    for (std::uint32_t i = 0; i < context_.metadata.containers(); ++i) {
        std::string after;
        while (true) {
            std::string prefix(WriterRecord::kPrefix);
            auto page = co_await context_.metadata.scan_container(ContainerId(i), std::move(prefix), after);
            if (!page) co_return fail(page.error());
            if (page->empty()) break;
            for (const container::TableEntry& entry : *page) {
                auto stream = WriterRecord::stream_of(entry.key);
                if (!stream) co_return fail(stream.error());
                ++watched_[*stream].writers;
            }
            after = page->back().key;
        }
    }
    co_return Result<>();
}

boost::asio::awaitable<void> Watermarks::round(const runtime::Gate& gate) {
    std::vector<StreamName> streams;
    for (const auto& [stream, watched] : watched_) streams.push_back(stream);
    for (const StreamName& stream : streams) {
        if (gate.closed()) co_return;
        auto looked = co_await look_at(stream);
        if (!looked) log::warn("watermarks of stream {}: {}", to_string(stream), looked.error().to_string());
    }
}

Async<> Watermarks::look_at(StreamName stream) {
    KeyedMutex::Lock lock = co_await context_.lock_stream(stream);
    auto found = co_await streams_.settled(stream);
    if (!found) co_return fail(found.error());
    if (!*found) {
        watched_.erase(stream);
        co_return Result<>();
    }
    auto last = co_await context_.metadata.get<WatermarkRecord>(stream.scope, WatermarkRecord::key(stream));
    if (!last) co_return fail(last.error());
    Watched& watched = watched_[stream];
    if (*last && !watched.is_appended) {
        auto appended = co_await append_missing(stream, (*last)->record, watched);
        if (!appended) co_return appended;
    }
    auto writers = co_await writers_of(stream);
    if (!writers) co_return fail(writers.error());
    std::vector<WriterTime> times;
    for (const Writer& writer : *writers) {
        WriterTime time{writer.record.time, writer.record.alive, std::nullopt};
        auto lagging = watched.lagging_since_ms.find(writer.key);
        if (lagging != watched.lagging_since_ms.end()) time.lagging_since_ms = lagging->second;
        times.push_back(time);
    }
    std::optional<std::int64_t> lower;
    if (*last) lower = (*last)->record.watermark.lower;
    std::int64_t now = context_.now_ms();
    WritersVerdict verdict = judge(times, lower, (*found)->record.config.timestamp_aggregation_ms, now);

    std::map<std::string, std::int64_t> lagging;
    for (std::size_t i : verdict.lagging) {
        lagging[(*writers)[i].key] = times[i].lagging_since_ms.value_or(now);
    }
    watched.lagging_since_ms = std::move(lagging);
    watched.writers = verdict.active.size();
    Batch batch;
    for (std::size_t i : verdict.inactive) batch.remove((*writers)[i].key, (*writers)[i].version);
    auto made = co_await make(stream, std::move(*last), verdict, std::move(*writers), std::move(batch));
    if (made && verdict.active.empty()) watched_.erase(stream);
    co_return made;
}

// Keeps and appends a watermark when one is due; what else is in the batch goes in any case.
Async<> Watermarks::make(StreamName stream, std::optional<Stored<WatermarkRecord>> last, WritersVerdict verdict,
                         std::vector<Writer> writers, Batch batch) {
    WatermarkRecord next;
    std::string segment;
    if (verdict.advances) {
        auto cut = co_await cut_of(stream, verdict, writers, last ? &last->record : nullptr);
        if (!cut) co_return fail(cut.error());
        next.watermark.cut = std::move(*cut);
        auto place = co_await mark_segment(stream);
        if (!place) co_return fail(place.error());
        if (*place) {
            next.segment = **place;
            segment = segment_name(mark_of(stream), next.segment);
            auto info = co_await context_.segments.info(segment);
            bool usable = info && !info->sealed;
            if (!info && !is_closed(info.error())) co_return fail(info.error());
            if (usable) next.offset = info->length;
            if (!usable) segment.clear();
        }
    }
    bool is_due = !segment.empty() && !next.watermark.cut.empty();
    if (is_due) {
        next.watermark.lower = verdict.lower;
        next.watermark.upper = verdict.upper;
        batch.put(WatermarkRecord::key(stream), next.encode(), last ? last->version : container::kNotExists);
    }
    if (batch.empty()) co_return Result<>();
    auto committed = co_await context_.metadata.commit(stream.scope, std::move(batch));
    if (!committed || !is_due) co_return committed;
    watched_[stream].is_appended = false;
    auto appended = co_await context_.segments.append_at(std::move(segment), next.offset, event_of(next.watermark));
    if (!appended) co_return fail(appended.error());
    watched_[stream].is_appended = true;
    co_return Result<>();
}

// The last watermark was kept, but perhaps not appended: then the companion ends where it should begin.
Async<> Watermarks::append_missing(const StreamName& stream, const WatermarkRecord& last, Watched& watched) {
    std::string segment = segment_name(mark_of(stream), last.segment);
    auto info = co_await context_.segments.info(segment);
    if (!info && !is_closed(info.error())) co_return fail(info.error());
    bool is_missing = info && !info->sealed && info->length == last.offset;
    if (is_missing) {
        auto appended = co_await context_.segments.append_at(segment, last.offset, event_of(last.watermark));
        if (!appended && !is_closed(appended.error())) co_return fail(appended.error());
    }
    watched.is_appended = true;
    co_return Result<>();
}

// At or beyond everything that the active writers noted and the last watermark said. Empty: none of them is anywhere.
Async<std::vector<CutEntry>> Watermarks::cut_of(StreamName stream, const WritersVerdict& verdict,
                                                const std::vector<Writer>& writers, const WatermarkRecord* last) {
    StreamCut furthest;
    for (std::size_t i : verdict.active) {
        for (const auto& [id, offset] : writers[i].record.position) {
            auto [known, added] = furthest.try_emplace(id, offset);
            if (!added) known->second = std::max(known->second, offset);
        }
    }
    std::vector<CutEntry> entries;
    if (last != nullptr) entries = last->watermark.cut;
    std::optional<Epoch> epoch;  // of the entry at hand, in the end the latest that has any
    for (auto entry = furthest.begin(); entry != furthest.end();) {
        std::int32_t number = epoch_of(entry->first);
        auto found = number < 0 ? std::optional<Epoch>() : epoch;
        if (!epoch || epoch->epoch != number) {
            auto read = co_await context_.metadata.epoch(stream, number);
            if (!read) co_return fail(read.error());
            found = std::move(*read);
        }
        if (found) epoch = found;
        for (; entry != furthest.end() && epoch_of(entry->first) == number; ++entry) {
            if (!found) continue;  // clients may note what they want
            auto segment = std::ranges::find(found->segments, entry->first, &SegmentRange::id);
            if (segment != found->segments.end()) entries.push_back({*segment, entry->second});
        }
    }
    if (entries.empty()) co_return std::move(entries);
    auto latest = std::ranges::max_element(entries, {}, [](const CutEntry& e) { return e.segment.id; });
    std::int32_t number = epoch_of(latest->segment.id);
    auto newest = co_await context_.metadata.epochs(stream, number, number);
    if (!newest) co_return fail(newest.error());
    co_return upper_bound_of(std::move(entries), newest->front());
}

Async<std::vector<Watermarks::Writer>> Watermarks::writers_of(StreamName stream) {
    std::vector<Writer> writers;
    std::string after;
    while (true) {
        auto page = co_await context_.metadata.scan(stream.scope, WriterRecord::prefix(stream), after);
        if (!page) co_return fail(page.error());
        if (page->empty()) co_return std::move(writers);
        for (const container::TableEntry& entry : *page) {
            auto record = WriterRecord::decode(entry.value);
            if (!record) co_return fail(record.error().code(), fmt::format("damaged record {}", entry.key));
            Writer writer;
            writer.key = entry.key;
            writer.version = entry.version;
            writer.record = std::move(*record);
            writers.push_back(std::move(writer));
        }
        after = page->back().key;
    }
}

// The one of the companion that takes appends now; none: there is no companion.
Async<std::optional<StreamSegmentId>> Watermarks::mark_segment(StreamName stream) {
    StreamName mark = mark_of(stream);
    auto found = co_await context_.metadata.stream(mark);
    if (!found) co_return fail(found.error());
    if (!*found) co_return std::optional<StreamSegmentId>();
    std::int32_t number = (*found)->record.current_epoch;
    auto epochs = co_await context_.metadata.epochs(mark, number, number);
    if (!epochs) co_return fail(epochs.error());
    co_return std::optional<StreamSegmentId>(epochs->front().segments.front().id);
}

}  // namespace millrace::controller
