#include "controller/records/codec.h"

#include <algorithm>

#include <fmt/format.h>

namespace millrace::controller {

void RecordWriter::cut(const StreamCut& v) {
    count(v.size());
    for (const auto& [id, offset] : v) {
        i64(id.value());
        i64(offset);
    }
}

void RecordWriter::config(const StreamConfig& v) {
    u8(static_cast<std::uint8_t>(v.scaling.type));
    i32(v.scaling.target_rate);
    i32(v.scaling.scale_factor);
    i32(v.scaling.min_segments);
    RetentionPolicy retention = v.retention.value_or(RetentionPolicy());  // none: zeros
    u8(v.retention ? static_cast<std::uint8_t>(retention.type) : 0);
    i64(retention.param);
    i64(retention.max);
    i64(v.timestamp_aggregation_ms);
    i64(v.rollover_bytes);
    count(v.tags.size());
    for (const std::string& tag : v.tags) text(tag);
}

void RecordWriter::positions(const std::vector<StreamPosition>& v) {
    count(v.size());
    for (const StreamPosition& position : v) {
        text(position.stream.scope);
        text(position.stream.stream);
        cut(position.cut);
    }
}

void RecordWriter::group_config(const ReaderGroupConfig& v) {
    i64(v.refresh_ms);
    i64(v.checkpoint_interval_ms);
    i32(v.max_outstanding_checkpoints);
    u8(static_cast<std::uint8_t>(v.retention));
    i64(v.generation);
    uuid(v.id);
    positions(v.start);
    positions(v.end);
}

RecordReader::RecordReader(std::string_view value) : in_(bytes::as_bytes(value)) {
    std::uint8_t version = in_.u8();
    newer_ = version > kRecordVersion;
    if (version != kRecordVersion) in_.set_failed();
}

std::size_t RecordReader::count(std::size_t limit, std::size_t least_bytes_each) {
    std::size_t n = in_.le32();
    if (n <= limit && n * least_bytes_each <= in_.remaining()) return n;
    in_.set_failed();
    return 0;
}

std::uint8_t RecordReader::enumerated(std::uint8_t least, std::uint8_t most) {
    std::uint8_t v = in_.u8();
    if (v >= least && v <= most) return v;
    in_.set_failed();
    return least;
}

StreamCut RecordReader::cut() {
    StreamCut v;
    std::size_t n = count(kListLimit, 16);
    for (std::size_t i = 0; i < n; ++i) {
        StreamSegmentId id(i64());
        std::int64_t offset = i64();
        if (!v.empty() && id <= v.rbegin()->first) in_.set_failed();
        v.emplace_hint(v.end(), id, offset);
    }
    return v;
}

StreamConfig RecordReader::config() {
    StreamConfig v;
    v.scaling.type = static_cast<ScalingType>(enumerated(0, 2));
    v.scaling.target_rate = i32();
    v.scaling.scale_factor = i32();
    v.scaling.min_segments = i32();
    std::uint8_t retention_type = enumerated(0, 2);
    RetentionPolicy retention;
    retention.param = i64();
    retention.max = i64();
    if (retention_type != 0) {
        retention.type = static_cast<RetentionType>(retention_type);
        v.retention = retention;
    } else if (retention.param != 0 || retention.max != 0) {
        in_.set_failed();
    }
    v.timestamp_aggregation_ms = i64();
    v.rollover_bytes = i64();
    std::size_t tags = count(kTagLimit, 4);
    for (std::size_t i = 0; i < tags; ++i) {
        v.tags.push_back(text());
        if (i > 0 && v.tags[i] <= v.tags[i - 1]) in_.set_failed();
    }
    return v;
}

std::vector<StreamPosition> RecordReader::positions() {
    std::vector<StreamPosition> v(count(kListLimit, 12));
    for (StreamPosition& position : v) {
        position.stream.scope = text();
        position.stream.stream = text();
        position.cut = cut();
    }
    return v;
}

ReaderGroupConfig RecordReader::group_config() {
    ReaderGroupConfig v;
    v.refresh_ms = i64();
    v.checkpoint_interval_ms = i64();
    v.max_outstanding_checkpoints = i32();
    v.retention = static_cast<ReaderGroupRetention>(enumerated(0, 2));
    v.generation = i64();
    v.id = uuid();
    v.start = positions();
    v.end = positions();
    return v;
}

std::optional<Error> RecordReader::failure(std::string_view what) {
    if (newer_) return Error(Errc::kNewerFormat, fmt::format("{} record of a newer version of the program", what));
    if (!in_.ok() || in_.remaining() > 0) return Error(Errc::kCorrupt, fmt::format("damaged {} record", what));
    return std::nullopt;
}

}  // namespace millrace::controller
