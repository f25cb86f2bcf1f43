// Segments: what workflows do to the segments of a stream, many at a time with a bound on how many are under way. Every
// operation may be repeated: what is done already counts as done. Executor thread only.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "controller/async.h"
#include "controller/types.h"
#include "store/segment_api.h"

namespace millrace::controller {

struct SegmentToMake {
    std::string name;
    container::CreateOptions options;
};

container::CreateOptions options_of(const StreamConfig& config);
std::vector<SegmentToMake> new_segments(const StreamName& stream, std::span<const StreamSegmentId> ids,
                                        const container::CreateOptions& options);

class Segments {
  public:
    static constexpr std::size_t kUnderWay = 32;

    Segments(runtime::Executor& executor, store::SegmentApi& api) : executor_(executor), api_(api) {}

    Async<> create(StreamName stream, std::vector<StreamSegmentId> ids, const StreamConfig& config);
    Async<> create_all(std::vector<SegmentToMake> segments);
    Async<> create_named(std::vector<std::string> names, const container::CreateOptions& options);
    Async<> set_policy(StreamName stream, std::vector<StreamSegmentId> ids, ScalingPolicy policy);
    Async<std::vector<std::int64_t>> seal(StreamName stream,
                                          std::vector<StreamSegmentId> ids);  // lengths; -1: it is gone
    Async<> truncate(StreamName stream, StreamCut cut);                       // entries not reached: skipped
    Async<> remove(StreamName stream, std::vector<StreamSegmentId> ids);
    Async<StreamCut> ends(StreamName stream, std::vector<StreamSegmentId> ids);  // their lengths
    Async<> remove_all(std::vector<std::string> names);
    struct Merge {
        std::string target;
        std::vector<std::string> sources;  // in this order
    };
    // For each merge, the length of the target behind each source.
    Async<std::vector<std::vector<std::int64_t>>> merge(std::vector<Merge> merges);
    Async<std::int64_t> total_length(std::vector<std::string> names);  // missing ones have none
    Async<bool> hold(StreamName stream, StreamCut cut);                // no offset lies beyond the end of its segment

    // Of one segment, by its name. The errors are the store's, none of them made good.
    Async<container::SegmentInfo> info(std::string segment);
    Async<bytes::Chain> read(std::string segment, std::int64_t offset, std::size_t max_bytes);
    Async<std::int64_t> append_at(std::string segment, std::int64_t expected_offset, std::string event);

  private:
    using Step = std::function<void(std::size_t, runtime::Callback<Result<>>)>;
    Async<> each(std::size_t count, Step step);

    runtime::Executor& executor_;
    store::SegmentApi& api_;
};

std::vector<StreamSegmentId> ids_of(std::span<const SegmentRange> segments);

}  // namespace millrace::controller
