// Retention: cuts streams off at their beginning as their policies and subscribers say. Only streams that have a policy
// cost anything: they are the working set. One round notes where each of them ends (a sample), chooses by
// retention_rule.h where to cut it, and truncates it as a user would. Samples are bounded in number; everything but the
// working set, which is found again at the start, is durable.
//
// Executor thread only.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "controller/records/retention_records.h"
#include "controller/retention_report.h"
#include "controller/retention_rule.h"
#include "controller/streams.h"
#include "runtime/gate.h"

namespace millrace::controller {

class Retention {
  public:
    static constexpr std::size_t kSamples = 128;           // of a stream
    static constexpr std::size_t kSampleEntries = 65'536;  // in the cuts of all its samples

    Retention(Context& context, Streams& streams) : context_(context), streams_(streams) {}

    Async<> load();  // the working set
    boost::asio::awaitable<void> round(const runtime::Gate& gate);
    Async<> look_at(StreamName name);                // one stream's part of a round
    Async<RetentionReport> report(StreamName name);  // of what a round would do; changes nothing. kNotFound

  private:
    enum class Purpose : std::uint8_t { kRound, kReport };
    struct Subscriber {
        std::string name;
        StreamCut cut;  // empty: none reported
    };
    // A stream at one moment, its lock held.
    struct View {
        RetentionReport report;
        Batch changes;
        std::vector<SampleRecord> samples;  // oldest first
        std::vector<Subscriber> subscribers;
        std::int64_t tail_bytes = 0;   // as the samples count
        std::int64_t marks_to_go = 0;  // so many bytes of the companion hold watermarks that nobody needs any more
        bool is_kept = false;          // no such stream, no policy, or sealed: not for the working set
    };

    Async<View> examine(StreamName name, Purpose purpose);
    Async<> measure(StreamName name, const StreamRecord& record, View& view);
    Async<> note(StreamName name, View& view);
    Async<> weigh(StreamName name, std::int32_t current_epoch, Purpose purpose, View& view);
    Async<StreamCut> bound_of(StreamName name, std::span<const Epoch> epochs, View& view);
    void drop_passed(const StreamName& name, std::span<const CutOrder> to_head, View& view);
    Async<std::int64_t> bytes_between(StreamName name, StreamCut from, StreamCut to);
    Async<std::vector<SampleRecord>> samples_of(StreamName name);
    Async<std::vector<Subscriber>> subscribers_of(StreamName name);
    Async<> truncate_marks(StreamName name, std::int64_t offset);

    Context& context_;
    Streams& streams_;
};

}  // namespace millrace::controller
