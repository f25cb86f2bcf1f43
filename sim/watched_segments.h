// The controller's way to the segments, watched: which names were ever made, so that none can be left over unseen; and
// with a bug, when one is planted.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "store/segment_router.h"

namespace millrace::sim {

// Bugs of the controller that its simulations must find.
enum class PlantedControl : std::uint8_t {
    kNothing,
    kForgottenIntents,  // what the last process left unfinished is not looked at
    kMergedTwice,       // a commit's bytes are there two times
    kForgottenMerge,    // a commit leaves out one of its segments now and then
    kForgottenRemoval,  // an abort leaves one of its segments now and then
    kEarlyTruncation,   // a truncation is recorded before the segments are cut off
    kForgottenPing,     // a ping is answered and prolongs nothing
    kForgottenReport,   // a subscriber is told that its cut is kept, and it is not
    kNeverExpires,      // leases do not end
};

std::optional<PlantedControl> parse_planted_control(std::string_view name);  // "merged-twice", ...
std::string_view to_string(PlantedControl planted);

// Passes everything on to `inner`, which outlives it, but for what is planted. `made` gets the name of each segment
// that was asked for.
class WatchedSegments final : public store::SegmentApi {
  public:
    WatchedSegments(store::SegmentRouter& inner, runtime::Executor& executor, std::set<std::string>& made,
                    PlantedControl planted, std::uint64_t seed)
        : inner_(inner), executor_(executor), made_(made), planted_(planted), random_(seed) {}

    std::uint32_t container_count() const override { return inner_.container_count(); }
    ContainerId container_for(std::string_view segment) const override { return inner_.container_for(segment); }

    void create(std::string segment, container::CreateOptions options, runtime::Executor& on, Done<> done) override;
    void seal(std::string segment, runtime::Executor& on, Done<std::int64_t> done) override;
    void truncate(std::string segment, std::int64_t offset, runtime::Executor& on, Done<> done) override;
    void remove(std::string segment, runtime::Executor& on, Done<> done) override;
    void info(std::string segment, runtime::Executor& on, Done<container::SegmentInfo> done) override;
    void update_policy(std::string segment, std::uint8_t scale_type, std::int32_t target_rate, runtime::Executor& on,
                       Done<> done) override;
    void read(std::string segment, std::int64_t offset, std::size_t max_bytes, runtime::Executor& on,
              Done<bytes::Chain> done) override;
    void append_at(std::string segment, std::int64_t expected_offset, std::string event, runtime::Executor& on,
                   Done<std::int64_t> done) override;
    void merge(std::string target, std::vector<std::string> sources, runtime::Executor& on,
               Done<std::vector<std::int64_t>> done) override;
    void update_table(ContainerId container, std::string table, std::vector<container::TableUpdate> updates,
                      container::SpaceNeed need, runtime::Executor& on, Done<std::vector<std::int64_t>> done) override;
    void table_get(ContainerId container, std::string table, std::string key, runtime::Executor& on,
                   Done<std::optional<container::TableEntry>> done) override;
    void table_scan(ContainerId container, std::string table, std::string prefix, std::string after, std::size_t limit,
                    runtime::Executor& on, Done<std::vector<container::TableEntry>> done) override;

  private:
    void merge_twice(std::string target, std::vector<std::string> sources, runtime::Executor& on,
                     Done<std::vector<std::int64_t>> done);

    store::SegmentRouter& inner_;
    runtime::Executor& executor_;
    std::set<std::string>& made_;
    PlantedControl planted_;
    SeededRandom random_;  // its own: what is planted does not change what clients draw
};

}  // namespace millrace::sim
