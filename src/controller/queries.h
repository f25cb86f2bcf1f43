// Queries: what can be asked. They take no locks and keep nothing: each reads records that are durable at that moment.
// Executor thread only.
#pragma once

#include "controller/context.h"
#include "controller/online_readers.h"
#include "controller/stream_cut.h"

namespace millrace::controller {

class Queries {
  public:
    explicit Queries(Context& context) : context_(context) {}

    using Listing = std::optional<Page<std::string>>;

    Async<bool> scope_exists(std::string scope);
    Async<Page<std::string>> scopes(std::string token);
    Async<Listing> streams(std::string scope, std::string token);
    Async<Listing> streams_by_tag(std::string scope, std::string tag, std::string token);
    Async<Listing> groups(std::string scope, std::string token);
    Async<Listing> tables(std::string scope, std::string token);

    Async<bool> stream_exists(StreamName name);
    Async<StreamConfig> stream_config(StreamName name);
    Async<std::vector<SegmentRange>> current_segments(StreamName name);
    Async<std::vector<SegmentRange>> epoch_segments(StreamName name, std::int32_t epoch);
    Async<std::vector<Epoch>> epochs(StreamName name, std::int32_t first, std::size_t limit);
    Async<StreamCut> head(StreamName name);
    Async<std::vector<Successor>> successors(StreamName name, StreamSegmentId segment);
    Async<std::vector<StreamSegmentId>> between(StreamName name, StreamCut from, StreamCut to);
    Async<bool> is_segment_valid(StreamName name, StreamSegmentId segment);
    Async<bool> is_cut_valid(StreamName name, StreamCut cut);

    Async<std::optional<ReaderGroupConfig>> group_config(std::string scope, std::string group);
    Async<std::vector<std::string>> online_readers(std::string scope, std::string group);
    Async<std::optional<std::vector<std::string>>> subscribers(StreamName name);

  private:
    using Hidden = bool (*)(std::string_view value);

    Async<StreamRecord> existing(StreamName name);  // kNotFound
    Async<StreamRecord> made(StreamName name);      // kUnavailable while it is being created
    Async<Listing> list(std::string scope, std::string prefix, std::string token, Hidden hidden);
    // From the first to the last; none: a number that the stream does not have, or does not keep any more.
    Async<std::optional<std::vector<Epoch>>> epochs_if_known(StreamName name, std::int32_t current, EpochSpan span);
    Async<OnlineReaders> read_readers(std::string segment);
    Async<Epoch> known_epoch(StreamName name, std::int32_t epoch);  // kNotFound

    Context& context_;
};

}  // namespace millrace::controller
