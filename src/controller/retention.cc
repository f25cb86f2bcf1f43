#include "controller/retention.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/log.h"
#include "controller/names.h"
#include "controller/records/sealed_segment_record.h"
#include "controller/records/subscriber_record.h"
#include "controller/records/watermark_record.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

Result<CutLine> known_line(const StreamName& name, const StreamCut& cut, std::span<const Epoch> epochs) {
    auto line = line_of(cut, epochs);
    if (line) return line;
    return fail(Errc::kCorrupt, fmt::format("a cut of stream {}: {}", to_string(name), line.error().message()));
}

bool has_same_segments(const StreamCut& a, const StreamCut& b) {
    return std::ranges::equal(
        a, b, [](const auto& x, const auto& y) { return x.first == y.first && x.second >= 0 && y.second >= 0; });
}

std::string text_of(const StreamCut& cut) {
    std::string text;
    for (const auto& [id, offset] : cut) {
        text += fmt::format("{}{}.#epoch.{}:{}", text.empty() ? "" : ", ", number_of(id), epoch_of(id), offset);
    }
    return text;
}

}  // namespace

Async<> Retention::load() {
    for (std::uint32_t i = 0; i < context_.metadata.containers(); ++i) {
        std::string after;
        while (true) {
            std::string prefix(RetainedEntry::kPrefix);
            auto page = co_await context_.metadata.scan_container(ContainerId(i), std::move(prefix), after);
            if (!page) co_return fail(page.error());
            if (page->empty()) break;
            for (const container::TableEntry& entry : *page) {
                auto name = RetainedEntry::parse(entry.key);
                if (!name) co_return fail(name.error());
                context_.retained.insert(std::move(*name));
            }
            after = page->back().key;
        }
    }
    co_return Result<>();
}

boost::asio::awaitable<void> Retention::round(const runtime::Gate& gate) {
    std::vector<StreamName> streams(context_.retained.begin(), context_.retained.end());
    for (const StreamName& name : streams) {
        if (gate.closed()) co_return;
        auto looked = co_await look_at(name);
        if (!looked) log::warn("retention of stream {}: {}", to_string(name), looked.error().to_string());
    }
}

Async<> Retention::look_at(StreamName name) {
    auto view = co_await examine(name, Purpose::kRound);
    if (!view) co_return fail(view.error());
    const RetentionReport& report = view->report;
    if (!report.cut.empty()) {
        auto status = co_await streams_.truncate(name, report.cut);
        if (!status) co_return fail(status.error());
        // Anything else than success: the stream was truncated, sealed or deleted meanwhile.
        if (*status == UpdateStreamStatus::kSuccess) {
            log::info("retention: {} bytes of stream {} go, up to {}: {}", report.bytes_to_go, to_string(name),
                      text_of(report.cut), report.reason);
        }
    }
    if (view->marks_to_go > 0) co_return co_await truncate_marks(name, view->marks_to_go);
    co_return Result<>();
}

Async<RetentionReport> Retention::report(StreamName name) {
    auto view = co_await examine(name, Purpose::kReport);
    if (!view) co_return fail(view.error());
    co_return std::move(view->report);
}

Async<Retention::View> Retention::examine(StreamName name, Purpose purpose) {
    KeyedMutex::Lock lock = co_await context_.lock_stream(name);
    auto found = co_await streams_.settled(name);
    if (!found) co_return fail(found.error());
    View view;
    view.report.now_ms = context_.now_ms();
    if (*found) {
        const StreamRecord& record = (*found)->record;
        view.report.policy = record.config.retention;
        view.report.sealed = record.state == StreamState::kSealed;
        view.is_kept = !record.config.retention || view.report.sealed;
        auto measured = co_await measure(name, record, view);
        if (!measured) co_return fail(measured.error());
    } else if (purpose == Purpose::kReport) {
        co_return fail(Errc::kNotFound, fmt::format("no stream {}", to_string(name)));
    }
    if (!*found || view.is_kept) {
        view.report.reason = view.report.sealed ? "the stream is sealed: everything stays until it is deleted"
                                                : "the stream has no retention policy: everything stays";
        if (purpose == Purpose::kReport) co_return std::move(view);
        context_.retained.erase(name);
        if (view.report.sealed) co_return std::move(view);
        auto removed = co_await streams_.remove_entries(name.scope, SampleRecord::prefix(name), view.changes);
        if (!removed) co_return fail(removed.error());
        view.changes.remove(RetainedEntry::key(name));
    } else {
        auto weighed = co_await weigh(name, (*found)->record.current_epoch, purpose, view);
        if (!weighed) co_return fail(weighed.error());
    }
    if (purpose == Purpose::kReport || view.changes.empty()) co_return std::move(view);
    auto committed = co_await context_.metadata.commit(name.scope, std::move(view.changes));
    if (!committed) co_return fail(committed.error());
    co_return std::move(view);
}

// Where it begins and ends, and how much there is between.
Async<> Retention::measure(StreamName name, const StreamRecord& record, View& view) {
    auto current = co_await context_.metadata.epochs(name, record.current_epoch, record.current_epoch);
    if (!current) co_return fail(current.error());
    auto tail = co_await context_.segments.ends(name, ids_of(current->front().segments));
    if (!tail) co_return fail(tail.error());
    view.report.tail = std::move(*tail);
    view.report.head = record.head;
    if (record.head.empty()) {
        auto first = co_await context_.metadata.epochs(name, 0, 0);
        if (!first) co_return fail(first.error());
        for (const SegmentRange& segment : first->front().segments) view.report.head[segment.id] = 0;
    }
    co_return Result<>();
}

// Notes the tail as a sample, when that is of use, and forgets some when there are many.
Async<> Retention::note(StreamName name, View& view) {
    const RetentionReport& report = view.report;
    SampleRecord base;  // what the new one is counted from
    base.cut = report.head;
    if (!view.samples.empty()) base = view.samples.back();
    auto more = co_await bytes_between(name, base.cut, report.tail);
    if (!more) co_return fail(more.error());
    view.tail_bytes = base.bytes + *more;
    bool is_first = view.samples.empty() && *more > 0;
    if (!is_first && !is_worth_noting(*report.policy, report.now_ms - base.time_ms, *more)) co_return Result<>();

    SampleRecord sample;
    sample.time_ms = std::max(report.now_ms, base.time_ms + 1);
    sample.bytes = view.tail_bytes;
    sample.cut = report.tail;
    auto mark = co_await context_.metadata.get<WatermarkRecord>(name.scope, WatermarkRecord::key(name));
    if (!mark) co_return fail(mark.error());
    if (*mark) sample.mark_offset = (*mark)->record.offset;
    // It does not count as adding something: it is what leads to more space.
    view.changes.put(SampleRecord::key(name, sample.time_ms), sample.encode());
    view.samples.push_back(std::move(sample));

    std::size_t limit = std::clamp<std::size_t>(kSampleEntries / report.tail.size(), 4, kSamples);
    for (std::size_t i : superfluous(view.samples.size(), limit)) {
        view.changes.remove(SampleRecord::key(name, view.samples[i].time_ms));
        view.samples[i].cut.clear();
    }
    std::erase_if(view.samples, [](const SampleRecord& s) { return s.cut.empty(); });
    co_return Result<>();
}

Async<> Retention::weigh(StreamName name, std::int32_t current_epoch, Purpose purpose, View& view) {
    auto samples = co_await samples_of(name);
    if (!samples) co_return fail(samples.error());
    view.samples = std::move(*samples);
    auto noted = co_await note(name, view);
    if (!noted) co_return noted;
    auto subscribers = co_await subscribers_of(name);
    if (!subscribers) co_return fail(subscribers.error());
    view.subscribers = std::move(*subscribers);

    RetentionReport& report = view.report;
    RetentionView question;
    question.policy = *report.policy;
    question.now_ms = report.now_ms;
    for (const SampleRecord& s : view.samples) {
        question.points.push_back({s.time_ms, view.tail_bytes - s.bytes, CutOrder::kBefore});
    }
    bool has_bound = std::ranges::any_of(view.subscribers, [](const Subscriber& s) { return !s.cut.empty(); });
    bool is_short = !has_bound && choose(question).where == RetentionChoice::Where::kNowhere;
    if (is_short && purpose == Purpose::kRound) co_return Result<>();

    std::int32_t first = epochs_of(report.head).first;
    for (const SampleRecord& s : view.samples) first = std::min(first, epochs_of(s.cut).first);
    for (const Subscriber& s : view.subscribers) {
        if (!s.cut.empty()) first = std::min(first, epochs_of(s.cut).first);
    }
    auto epochs = co_await context_.metadata.epochs(name, first, current_epoch);
    if (!epochs) co_return fail(epochs.error());
    auto head = known_line(name, report.head, *epochs);
    if (!head) co_return fail(head.error());
    StreamCut bound;
    std::optional<CutLine> bound_line;
    if (has_bound) {
        auto lowest = co_await bound_of(name, *epochs, view);
        if (!lowest) co_return fail(lowest.error());
        bound = std::move(*lowest);
        auto line = known_line(name, bound, *epochs);
        if (!line) co_return fail(line.error());
        bound_line = std::move(*line);
        auto kept = co_await bytes_between(name, bound, report.tail);
        if (!kept) co_return fail(kept.error());
        question.bound_keeps = *kept;
    }
    std::vector<CutOrder> to_head;
    for (std::size_t i = 0; i < view.samples.size(); ++i) {
        auto line = known_line(name, view.samples[i].cut, *epochs);
        if (!line) co_return fail(line.error());
        to_head.push_back(order_of(*line, *head));
        if (bound_line) question.points[i].to_bound = order_of(*line, *bound_line);
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < to_head.size(); ++i) {
        if (to_head[i] == CutOrder::kAfter) question.points[kept++] = question.points[i];
    }
    question.points.resize(kept);
    drop_passed(name, to_head, view);

    RetentionChoice choice = choose(question);
    if (choice.where == RetentionChoice::Where::kPoint) report.cut = view.samples[choice.point].cut;
    if (choice.where == RetentionChoice::Where::kBound) report.cut = std::move(bound);
    if (report.cut == report.head) report.cut.clear();
    report.reason = to_text(choice.why);
    report.samples = view.samples.size();
    report.oldest_sample_ms = view.samples.empty() ? 0 : view.samples.front().time_ms;
    if (!report.cut.empty()) {
        auto to_go = co_await bytes_between(name, report.head, report.cut);
        if (!to_go) co_return fail(to_go.error());
        report.bytes_to_go = *to_go;
    }
    if (purpose == Purpose::kRound) co_return Result<>();

    auto all = co_await bytes_between(name, report.head, report.tail);
    if (!all) co_return fail(all.error());
    report.bytes = *all;
    for (const Subscriber& s : view.subscribers) {
        SubscriberProgress progress;
        progress.name = s.name;
        progress.has_reported = !s.cut.empty();
        if (progress.has_reported) {
            auto behind = co_await bytes_between(name, s.cut, report.tail);
            if (!behind) co_return fail(behind.error());
            progress.bytes_behind = *behind;
        }
        report.subscribers.push_back(std::move(progress));
    }
    co_return Result<>();
}

// The earliest of what the subscribers reported, at each key, but within the stream.
Async<StreamCut> Retention::bound_of(StreamName name, std::span<const Epoch> epochs, View& view) {
    auto line = known_line(name, view.report.tail, epochs);
    StreamCut bound = view.report.tail;
    for (const Subscriber& subscriber : view.subscribers) {
        if (subscriber.cut.empty()) continue;
        auto reported = known_line(name, subscriber.cut, epochs);
        if (!line || !reported) co_return fail(line ? reported.error() : line.error());
        bound = earlier_of(*line, *reported);
        line = known_line(name, bound, epochs);
    }
    auto head = known_line(name, view.report.head, epochs);
    if (!line || !head) co_return fail(line ? head.error() : line.error());
    co_return later_of(*line, *head);
}

// Samples that the head has passed can be chosen no more, and the watermarks older than them are of no use to anybody.
void Retention::drop_passed(const StreamName& name, std::span<const CutOrder> to_head, View& view) {
    for (std::size_t i = 0; i < to_head.size(); ++i) {
        if (to_head[i] == CutOrder::kAfter) continue;
        SampleRecord& passed = view.samples[i];
        view.changes.remove(SampleRecord::key(name, passed.time_ms));
        if (to_head[i] != CutOrder::kOverlaps) view.marks_to_go = std::max(view.marks_to_go, passed.mark_offset);
        passed.cut.clear();
    }
    std::erase_if(view.samples, [](const SampleRecord& s) { return s.cut.empty(); });
}

Async<std::int64_t> Retention::bytes_between(StreamName name, StreamCut from, StreamCut to) {
    std::int64_t bytes = 0;
    if (has_same_segments(from, to)) {
        for (const auto& [id, offset] : to) bytes += std::max<std::int64_t>(offset - from.at(id), 0);
        co_return bytes;
    }
    std::int32_t first = std::min(epochs_of(from).first, epochs_of(to).first);
    auto epochs = co_await context_.metadata.epochs(name, first, std::max(epochs_of(from).last, epochs_of(to).last));
    if (!epochs) co_return fail(epochs.error());
    auto stretches = stretches_between(from, to, *epochs);
    if (!stretches) co_return fail(Errc::kCorrupt, stretches.error().message());
    for (Stretch& stretch : *stretches) {
        if (stretch.end == Stretch::kToItsEnd) {
            std::string key = SealedSegmentRecord::key(name, stretch.segment);
            auto sealed = co_await context_.metadata.get<SealedSegmentRecord>(name.scope, std::move(key));
            if (!sealed) co_return fail(sealed.error());
            stretch.end = *sealed ? (*sealed)->record.length : 0;  // not known when it was gone before it was sealed
        }
        bytes += std::max<std::int64_t>(stretch.end - stretch.begin, 0);
    }
    co_return bytes;
}

Async<std::vector<SampleRecord>> Retention::samples_of(StreamName name) {
    std::vector<SampleRecord> samples;
    std::string after;
    while (true) {
        auto page = co_await context_.metadata.scan(name.scope, SampleRecord::prefix(name), after);
        if (!page) co_return fail(page.error());
        if (page->empty()) co_return std::move(samples);
        for (const container::TableEntry& entry : *page) {
            auto record = SampleRecord::decode(entry.value);
            bool usable = record && !record->cut.empty();
            if (!usable) co_return fail(Errc::kCorrupt, fmt::format("damaged record {}", entry.key));
            samples.push_back(std::move(*record));
        }
        after = page->back().key;
    }
}

Async<std::vector<Retention::Subscriber>> Retention::subscribers_of(StreamName name) {
    std::vector<Subscriber> subscribers;
    std::string prefix = SubscriberRecord::prefix(name);
    std::string after;
    while (true) {
        auto page = co_await context_.metadata.scan(name.scope, prefix, after);
        if (!page) co_return fail(page.error());
        if (page->empty()) co_return std::move(subscribers);
        for (const container::TableEntry& entry : *page) {
            auto record = SubscriberRecord::decode(entry.value);
            if (!record) co_return fail(record.error().code(), fmt::format("damaged record {}", entry.key));
            Subscriber subscriber;
            subscriber.name = entry.key.substr(prefix.size());
            subscriber.cut = std::move(record->cut);
            subscribers.push_back(std::move(subscriber));
        }
        after = page->back().key;
    }
}

Async<> Retention::truncate_marks(StreamName name, std::int64_t offset) {
    StreamName mark = mark_of(name);
    auto found = co_await context_.metadata.stream(mark);
    if (!found) co_return fail(found.error());
    if (!*found) co_return Result<>();
    std::int32_t number = (*found)->record.current_epoch;
    auto epochs = co_await context_.metadata.epochs(mark, number, number);
    if (!epochs) co_return fail(epochs.error());
    StreamCut cut;
    cut[epochs->front().segments.front().id] = offset;
    auto status = co_await streams_.truncate(mark, std::move(cut));
    if (!status) co_return fail(status.error());
    co_return Result<>();
}

}  // namespace millrace::controller
