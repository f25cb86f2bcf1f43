#include "controller/records/stream_record.h"

#include <fmt/format.h>

namespace millrace::controller {

namespace {
constexpr std::uint8_t kNoIntent = 0;
constexpr std::uint8_t kUpdate = 1;
constexpr std::uint8_t kTruncate = 2;
}  // namespace

std::string StreamRecord::prefix(std::string_view scope) { return fmt::format("stream/{}/", scope); }
std::string StreamRecord::key(const StreamName& name) { return prefix(name.scope) + name.stream; }

std::string StreamRecord::encode() const {
    RecordWriter out;
    out.u8(static_cast<std::uint8_t>(state));
    out.i64(creation_ms);
    out.i32(first_number);
    out.i32(last_number);
    out.i32(current_epoch);
    out.config(config);
    out.cut(head);
    if (const auto* update = std::get_if<UpdateIntent>(&intent)) {
        out.u8(kUpdate);
        out.config(update->config);
        out.i32(update->next_segments);
        out.i64(update->next_creation_ms);
    } else if (const auto* truncate = std::get_if<TruncateIntent>(&intent)) {
        out.u8(kTruncate);
        out.cut(truncate->cut);
    } else {
        out.u8(kNoIntent);
    }
    return out.take();
}

Result<StreamRecord> StreamRecord::decode(std::string_view value) {
    RecordReader in(value);
    StreamRecord record;
    record.state = static_cast<StreamState>(in.enumerated(1, 7));
    record.creation_ms = in.i64();
    record.first_number = in.i32();
    record.last_number = in.i32();
    record.current_epoch = in.i32();
    if (record.first_number < 0 || record.last_number < record.first_number || record.current_epoch < 0) in.fail();
    record.config = in.config();
    record.head = in.cut();
    std::uint8_t kind = in.enumerated(kNoIntent, kTruncate);
    if (kind == kUpdate) {
        UpdateIntent update;
        update.config = in.config();
        update.next_segments = in.i32();
        update.next_creation_ms = in.i64();
        if (update.next_segments < 0) in.fail();
        record.intent = std::move(update);
    }
    if (kind == kTruncate) {
        TruncateIntent truncate;
        truncate.cut = in.cut();
        record.intent = std::move(truncate);
    }
    if ((record.state == StreamState::kUpdating) != (kind == kUpdate)) in.fail();
    if ((record.state == StreamState::kTruncating) != (kind == kTruncate)) in.fail();
    return in.finish(std::move(record), "stream");
}

bool StreamRecord::is_deleting(std::string_view value) {
    return value.size() > 1 && static_cast<StreamState>(value[1]) == StreamState::kDeleting;
}

}  // namespace millrace::controller
