// Streams: the workflows of a stream, each an intent, steps that may be repeated, and an end. Whoever finds an
// unfinished intent (the next operation, the retry timer, the next process) carries it on from its record alone.
// Executor thread only.
#pragma once

#include <vector>

#include "controller/context.h"

namespace millrace::controller {

// More could not be told to clients in one message.
inline constexpr std::int32_t kMaxSegments = 10'000;
inline constexpr std::size_t kMaxTagLength = 255;  // UTF-16 units

// kInvalidArgument, with the reason.
Result<> check_config(const StreamConfig& config);
Result<> check_numbers(std::int32_t last_number, std::int32_t more);  // kLimit: the name has used up its numbers
StreamConfig normalised(StreamConfig config);
StreamConfig fixed_config(std::int32_t segments, std::int64_t rollover_bytes);

class Streams {
  public:
    explicit Streams(Context& context) : context_(context) {}

    Async<CreateStreamStatus> create(StreamName name, StreamConfig config);
    Async<UpdateStreamStatus> update(StreamName name, StreamConfig config);
    Async<UpdateStreamStatus> truncate(StreamName name, StreamCut cut);
    Async<UpdateStreamStatus> seal(StreamName name);
    Async<DeleteStreamStatus> remove(StreamName name);

    Async<> finish(StreamName name);           // whatever it has under way
    Async<> seal_and_remove(StreamName name);  // missing is good

    // ---- with the stream's lock held ----
    // The stream after finishing what it has under way; none when there is no such stream.
    Async<Found<StreamRecord>> settled(StreamName name);
    // Adds a stream that does not exist, and its companion, as being created; settled() makes them.
    Async<> add_creation(Batch& batch, StreamName name, StreamConfig config);
    // All whose keys begin so; the last of them by the batch `last`.
    Async<> remove_entries(std::string scope, std::string prefix, Batch& last);

  private:
    using Stream = Stored<StreamRecord>;

    Async<Found<StreamRecord>> settle_one(StreamName name);
    Async<> carry_on(StreamName name, Stream stream);
    Async<> carry_on_creating(StreamName name, Stream stream);
    Async<> carry_on_updating(StreamName name, Stream stream);
    Async<> carry_on_truncating(StreamName name, Stream stream);
    Async<> carry_on_sealing(StreamName name, Stream stream);
    Async<> carry_on_deleting(StreamName name, Stream stream);

    Async<UpdateStreamStatus> missing(std::string scope);
    Async<bool> begin_truncation(StreamName name, Stream stream, StreamCut cut);
    Async<> begin_sealing(StreamName name, Stream stream);
    Async<> begin_deleting(StreamName name, Stream stream);
    void add_retention(Batch& batch, const StreamName& name, const StreamConfig& config);
    Async<> remove_segments(StreamName name, std::vector<std::string>& names);

    Context& context_;
};

}  // namespace millrace::controller
