#include "controller/records/stream_record.h"

#include <fmt/format.h>

namespace millrace::controller {

namespace {
constexpr std::uint8_t kNoIntent = 0;
constexpr std::uint8_t kUpdate = 1;
constexpr std::uint8_t kTruncate = 2;
constexpr std::uint8_t kScale = 3;
constexpr std::uint8_t kRoll = 4;

void write(RecordWriter& out, const ScaleIntent& scale) {
    out.count(scale.replaced.size());
    for (StreamSegmentId id : scale.replaced) out.i64(id.value());
    out.count(scale.ranges.size());
    for (const KeyRange& range : scale.ranges) {
        out.f64(range.from);
        out.f64(range.to);
    }
    out.i64(scale.creation_ms);
}

ScaleIntent read_scale(RecordReader& in) {
    ScaleIntent scale;
    std::size_t replaced = in.count(kListLimit, 8);
    for (std::size_t i = 0; i < replaced; ++i) {
        scale.replaced.emplace_back(in.i64());
        if (i > 0 && scale.replaced[i] <= scale.replaced[i - 1]) in.fail();
    }
    scale.ranges.resize(in.count(kListLimit, 16));
    double end = 0;
    for (KeyRange& range : scale.ranges) {
        range.from = in.f64();
        range.to = in.f64();
        if (!(range.from >= end) || !(range.to > range.from) || range.to > 1.0) in.fail();
        end = range.to;
    }
    scale.creation_ms = in.i64();
    return scale;
}
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
    } else if (const auto* scale = std::get_if<ScaleIntent>(&intent)) {
        out.u8(kScale);
        write(out, *scale);
    } else if (const auto* roll = std::get_if<RollIntent>(&intent)) {
        out.u8(kRoll);
        out.i32(roll->reference);
        out.i64(roll->creation_ms);
        out.count(roll->transactions.size());
        for (const TransactionId& id : roll->transactions) out.uuid(id);
    } else {
        out.u8(kNoIntent);
    }
    return out.take();
}

Result<StreamRecord> StreamRecord::decode(std::string_view value) {
    RecordReader in(value);
    StreamRecord record;
    record.state = static_cast<StreamState>(in.enumerated(1, 9));
    record.creation_ms = in.i64();
    record.first_number = in.i32();
    record.last_number = in.i32();
    record.current_epoch = in.i32();
    if (record.first_number < 0 || record.last_number < record.first_number || record.current_epoch < 0) in.fail();
    record.config = in.config();
    record.head = in.cut();
    std::uint8_t kind = in.enumerated(kNoIntent, kRoll);
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
    if (kind == kScale) record.intent = read_scale(in);
    if (kind == kRoll) {
        RollIntent roll;
        roll.reference = in.i32();
        roll.creation_ms = in.i64();
        roll.transactions.resize(in.count(kListLimit, 16));
        for (TransactionId& id : roll.transactions) id = in.uuid();
        if (roll.reference < 0 || roll.reference >= record.current_epoch) in.fail();
        record.intent = roll;
    }
    if ((record.state == StreamState::kUpdating) != (kind == kUpdate)) in.fail();
    if ((record.state == StreamState::kTruncating) != (kind == kTruncate)) in.fail();
    if ((record.state == StreamState::kScaling) != (kind == kScale)) in.fail();
    bool may_roll = record.state == StreamState::kRolling || record.state == StreamState::kSealing;
    if (kind == kRoll ? !may_roll : record.state == StreamState::kRolling) in.fail();
    return in.finish(std::move(record), "stream");
}

bool StreamRecord::is_deleting(std::string_view value) {
    return value.size() > 1 && static_cast<StreamState>(value[1]) == StreamState::kDeleting;
}

}  // namespace millrace::controller
