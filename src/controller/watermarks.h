// Watermarks of streams whose writers note times: keeps the notes, and from time to time makes a watermark of them in
// the stream's companion. Only streams with noted times cost anything: they are the working set, and leave it when
// their writers are gone or silent.
//
// Everything but the working set, which is found again at the start, is durable. A watermark is kept before it is
// appended to the companion, under the condition that the companion ends where it did; so whatever interrupts a round,
// a watermark is appended once, and none is older than the one before it. Executor thread only.
#pragma once

#include <map>
#include <memory>

#include <boost/asio/awaitable.hpp>

#include "controller/records/watermark_record.h"
#include "controller/records/writer_record.h"
#include "controller/streams.h"
#include "runtime/gate.h"

namespace millrace::controller {

struct WriterNote {
    std::string writer;
    std::int64_t time = 0;
    StreamCut position;
};

class Watermarks {
  public:
    static constexpr std::size_t kWriters = 10'000;  // of a stream
    static constexpr std::size_t kWriterNameBytes = 1024;
    static constexpr std::int64_t kNoTime = std::numeric_limits<std::int64_t>::min();  // what clients send for none

    Watermarks(Context& context, Streams& streams) : context_(context), streams_(streams) {}

    // kNotFound: no such stream. kInvalidArgument: no name, or a name that is too long. kNoSpace: more than kWriters.
    Async<NoteTimeStatus> note(StreamName stream, WriterNote note);
    Async<RemoveWriterStatus> remove_writer(StreamName stream, std::string writer);
    // The same with the stream's lock held, of a stream that exists; all of them are kept or none.
    Async<std::vector<NoteTimeStatus>> note_all(StreamName stream, std::vector<WriterNote> notes);

    Async<> load();  // the working set
    boost::asio::awaitable<void> round(const runtime::Gate& gate);
    Async<> look_at(StreamName stream);  // one stream's part of a round

  private:
    // What is known of a stream in the working set beside its records; none of it has to survive.
    struct Watched {
        std::map<std::string, std::int64_t> lagging_since_ms;  // by the writer's key
        std::size_t writers = 0;                               // about so many
        bool is_appended = false;                              // the last watermark is where it belongs
    };
    struct Waiting {
        explicit Waiting(WriterNote n) : note(std::move(n)) {}
        WriterNote note;
        std::optional<Result<NoteTimeStatus>> result;
    };
    using Queue = std::vector<std::shared_ptr<Waiting>>;
    struct Writer {
        std::string key;
        std::int64_t version = 0;
        WriterRecord record;
    };

    Async<std::vector<NoteTimeStatus>> note_queued(StreamName stream, const Queue& queue);
    Async<std::vector<Writer>> writers_of(StreamName stream);
    Async<> append_missing(const StreamName& stream, const WatermarkRecord& last, Watched& watched);
    Async<> make(StreamName stream, std::optional<Stored<WatermarkRecord>> last, WritersVerdict verdict,
                 std::vector<Writer> writers, Batch batch);
    Async<std::vector<CutEntry>> cut_of(StreamName stream, const WritersVerdict& verdict,
                                        const std::vector<Writer>& writers, const WatermarkRecord* last);
    Async<std::optional<StreamSegmentId>> mark_segment(StreamName stream);

    Context& context_;
    Streams& streams_;
    std::map<StreamName, Watched> watched_;
    std::map<StreamName, Queue> queued_;
};

}  // namespace millrace::controller
