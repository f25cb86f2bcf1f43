#include "sim/watched_segments.h"

#include <memory>

#include "container/container.h"

namespace millrace::sim {

namespace {

constexpr std::string_view kNames[] = {"nothing",         "forgotten-intents", "merged-twice",
                                       "forgotten-merge", "forgotten-removal", "early-truncation",
                                       "forgotten-ping",  "forgotten-report",  "never-expires"};

bool is_of_transaction(std::string_view segment) { return segment.find("#transaction.") != std::string_view::npos; }

}  // namespace

std::optional<PlantedControl> parse_planted_control(std::string_view name) {
    for (std::size_t i = 0; i < std::size(kNames); ++i) {
        if (kNames[i] == name) return static_cast<PlantedControl>(i);
    }
    return std::nullopt;
}

std::string_view to_string(PlantedControl planted) { return kNames[static_cast<std::size_t>(planted)]; }

void WatchedSegments::create(std::string segment, container::CreateOptions options, runtime::Executor& on,
                             Done<> done) {
    made_.insert(segment);
    inner_.create(std::move(segment), options, on, std::move(done));
}

void WatchedSegments::seal(std::string segment, runtime::Executor& on, Done<std::int64_t> done) {
    inner_.seal(std::move(segment), on, std::move(done));
}

void WatchedSegments::truncate(std::string segment, std::int64_t offset, runtime::Executor& on, Done<> done) {
    if (planted_ != PlantedControl::kEarlyTruncation)
        return inner_.truncate(std::move(segment), offset, on, std::move(done));
    on.post([done = std::move(done)]() mutable { done(Result<>()); });
    executor_.call_after(std::chrono::milliseconds(20), [this, segment = std::move(segment), offset] {
        inner_.truncate(segment, offset, executor_, [](const Result<>&) {});
    });
}

void WatchedSegments::remove(std::string segment, runtime::Executor& on, Done<> done) {
    bool forgets = planted_ == PlantedControl::kForgottenRemoval && is_of_transaction(segment) && random_.below(4) == 0;
    if (forgets) return on.post([done = std::move(done)]() mutable { done(Result<>()); });
    inner_.remove(std::move(segment), on, std::move(done));
}

void WatchedSegments::info(std::string segment, runtime::Executor& on, Done<container::SegmentInfo> done) {
    inner_.info(std::move(segment), on, std::move(done));
}

void WatchedSegments::update_policy(std::string segment, std::uint8_t scale_type, std::int32_t target_rate,
                                    runtime::Executor& on, Done<> done) {
    inner_.update_policy(std::move(segment), scale_type, target_rate, on, std::move(done));
}

void WatchedSegments::read(std::string segment, std::int64_t offset, std::size_t max_bytes, runtime::Executor& on,
                           Done<bytes::Chain> done) {
    inner_.read(std::move(segment), offset, max_bytes, on, std::move(done));
}

void WatchedSegments::append_at(std::string segment, std::int64_t expected_offset, std::string event,
                                runtime::Executor& on, Done<std::int64_t> done) {
    inner_.append_at(std::move(segment), expected_offset, std::move(event), on, std::move(done));
}

void WatchedSegments::merge(std::string target, std::vector<std::string> sources, runtime::Executor& on,
                            Done<std::vector<std::int64_t>> done) {
    if (planted_ == PlantedControl::kMergedTwice && random_.below(2) == 0)
        return merge_twice(std::move(target), std::move(sources), on, std::move(done));
    if (planted_ == PlantedControl::kForgottenMerge && random_.below(4) == 0) {
        // As if the sources were merged already, which counts as done.
        for (std::string& source : sources) source += "0";
    }
    inner_.merge(std::move(target), std::move(sources), on, std::move(done));
}

// Appends what the first source holds once more.
void WatchedSegments::merge_twice(std::string target, std::vector<std::string> sources, runtime::Executor& on,
                                  Done<std::vector<std::int64_t>> done) {
    auto content = std::make_shared<std::string>();
    auto read = [content](Result<container::ReadResult> result) {
        if (!result) return;
        auto bytes = result->data.to_vector();
        content->assign(bytes.begin(), bytes.end());
    };
    if (!sources.empty()) {
        container::SegmentContainer& home = *inner_.handle(container_for(sources.front())).container;
        container::ReadId waits = home.read(sources.front(), 0, 1 << 20, read);
        home.cancel_read(waits);
    }
    auto merged = [this, target, content, &on, done = std::move(done)](Result<std::vector<std::int64_t>> ends) mutable {
        if (!ends || content->empty()) return done(std::move(ends));
        auto again = [ends = *ends, done = std::move(done)](const Result<std::int64_t>&) mutable { done(ends); };
        inner_.append_at(target, ends->back(), *content, on, std::move(again));
    };
    inner_.merge(std::move(target), std::move(sources), on, std::move(merged));
}

void WatchedSegments::update_table(ContainerId container, std::string table,
                                   std::vector<container::TableUpdate> updates, container::SpaceNeed need,
                                   runtime::Executor& on, Done<std::vector<std::int64_t>> done) {
    inner_.update_table(container, std::move(table), std::move(updates), need, on, std::move(done));
}

void WatchedSegments::table_get(ContainerId container, std::string table, std::string key, runtime::Executor& on,
                                Done<std::optional<container::TableEntry>> done) {
    inner_.table_get(container, std::move(table), std::move(key), on, std::move(done));
}

void WatchedSegments::table_scan(ContainerId container, std::string table, std::string prefix, std::string after,
                                 std::size_t limit, runtime::Executor& on,
                                 Done<std::vector<container::TableEntry>> done) {
    inner_.table_scan(container, std::move(table), std::move(prefix), std::move(after), limit, on, std::move(done));
}

}  // namespace millrace::sim
