#include "container/operation.h"

#include <limits>

#include <fmt/format.h>

namespace millrace::container {
namespace {

void put_head(std::uint8_t* at, RecordType type, std::uint8_t flags, std::uint32_t body_size) {
    at[0] = static_cast<std::uint8_t>(type);
    at[1] = flags;
    at[2] = at[3] = 0;
    bytes::store_le(at + 4, body_size);
}

// Writes the header, lets `body` write the body, then sets its size.
template <typename Body>
void record(bytes::Writer& out, RecordType type, std::uint8_t flags, Body body) {
    std::size_t begin = out.size();
    out.grow(kRecordHeader);
    body();
    std::size_t size = out.size() - begin - kRecordHeader;
    // grow(0) yields the end: the header lies a known distance before it.
    put_head(out.grow(0) - size - kRecordHeader, type, flags, static_cast<std::uint32_t>(size));
}

void put_uuid(bytes::Writer& out, const Uuid& id) {
    out.le64(id.high);
    out.le64(id.low);
}

void put_attributes(bytes::Writer& out, const AttributeValues& values) {
    out.le32(static_cast<std::uint32_t>(values.size()));
    for (const auto& [id, value] : values) {
        put_uuid(out, id);
        out.le64(static_cast<std::uint64_t>(value));
    }
}

Uuid get_uuid(bytes::Reader& in) {
    std::uint64_t high = in.le64();
    std::uint64_t low = in.le64();
    return {high, low};
}

AttributeValues get_attributes(bytes::Reader& in) {
    std::uint32_t count = in.le32();
    AttributeValues values;
    if (count > in.remaining() / 24) {
        in.set_failed();
        return values;
    }
    values.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
        Uuid id = get_uuid(in);
        values.emplace_back(id, static_cast<std::int64_t>(in.le64()));
    }
    return values;
}

}  // namespace

void encode(const CreateRecord& r, bytes::Writer& out) {
    record(out, RecordType::kCreate, r.transient ? kFlagTransient : 0, [&] {
        out.le64(r.id.value());
        out.le64(static_cast<std::uint64_t>(r.created_ms));
        out.le_string(r.name);
        put_attributes(out, r.attributes);
    });
}

void encode(const AttributesRecord& r, bytes::Writer& out) {
    record(out, RecordType::kAttributes, 0, [&] {
        out.le64(r.id.value());
        put_attributes(out, r.values);
    });
}

void encode(const SealRecord& r, bytes::Writer& out) {
    record(out, RecordType::kSeal, 0, [&] { out.le64(r.id.value()); });
}

void encode(const TruncateRecord& r, bytes::Writer& out) {
    record(out, RecordType::kTruncate, 0, [&] {
        out.le64(r.id.value());
        out.le64(r.start);
    });
}

void encode(const MergeRecord& r, bytes::Writer& out) {
    record(out, RecordType::kMerge, 0, [&] {
        out.le64(r.target.value());
        out.le64(r.source.value());
        out.le64(r.target_offset);
        out.le64(r.source_size);
        put_attributes(out, r.attributes);
    });
}

void encode(const DeleteRecord& r, bytes::Writer& out) {
    record(out, RecordType::kDelete, 0, [&] { out.le64(r.id.value()); });
}

void encode(const TableRecord& r, bytes::Writer& out) {
    record(out, RecordType::kTable, 0, [&] {
        out.le_string(r.table);
        out.le32(static_cast<std::uint32_t>(r.entries.size()));
        for (const TableRecord::Entry& entry : r.entries) {
            out.boolean(entry.value.has_value());
            out.le64(static_cast<std::uint64_t>(entry.version));
            out.le_string(entry.key);
            if (entry.value) out.le_string(*entry.value);
        }
    });
}

std::uint64_t TableUpdateRecord::number() {
    std::uint64_t at = offset;
    for (Entry& entry : entries) {
        entry.version = static_cast<std::int64_t>(at);
        if (entry.value)
            at += kTableItemHeader + entry.key.size() + entry.value->size();
        else if (!free_removals)
            at += kTableItemHeader + entry.key.size();
    }
    return at;
}

void encode(const TableUpdateRecord& r, bytes::Writer& out) {
    record(out, RecordType::kTableUpdate, r.free_removals ? kFlagFreeRemovals : 0, [&] {
        out.le64(r.id.value());
        out.le64(r.offset);
        out.le32(static_cast<std::uint32_t>(r.entries.size()));
        for (const TableUpdateRecord::Entry& entry : r.entries) {
            out.boolean(entry.value.has_value());
            out.le_string(entry.key);
            if (entry.value) out.le_string(*entry.value);
        }
    });
}

namespace {

void put_object(bytes::Writer& out, const TieredObject& r) {
    out.le64(r.id.value());
    out.u8(static_cast<std::uint8_t>(r.kind));
    out.le64(r.data_bytes);
    out.le_string(r.key);
}

void get_object(bytes::Reader& in, TieredObject& r) {
    r.id = ObjectId(in.le64());
    std::uint8_t kind = in.u8();
    r.data_bytes = in.le64();
    r.key = in.le_string(kMaxObjectKey);
    r.kind = static_cast<ObjectKind>(kind);
    bool known = r.kind == ObjectKind::kChunk || r.kind == ObjectKind::kPack;
    if (!known || r.data_bytes > kMaxObjectBytes) in.set_failed();
}

bool range_is_sane(std::uint64_t offset, std::uint64_t size) {
    constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
    return size > 0 && size <= kMaxObjectBytes && offset <= kMost;
}

}  // namespace

void encode(const ObjectWrittenRecord& r, bytes::Writer& out) {
    record(out, RecordType::kObjectWritten, 0, [&] {
        put_object(out, r.object);
        out.le32(static_cast<std::uint32_t>(r.parts.size()));
        for (const ObjectPart& part : r.parts) {
            out.le64(part.segment.value());
            out.le64(part.offset);
            out.le64(part.size);
            out.le64(part.object_offset);
        }
    });
}

std::size_t encode_append_head(const AppendRecord& r, std::uint8_t* at) {
    std::size_t fixed = r.has_writer ? kAppendFixedWriter : kAppendFixed;
    put_head(at, RecordType::kAppend, r.has_writer ? kFlagWriter : 0, static_cast<std::uint32_t>(fixed + r.data_size));
    bytes::store_le(at + 8, r.id.value());
    bytes::store_le(at + 16, r.offset);
    bytes::store_le(at + 24, r.data_size);
    bytes::store_le(at + 28, r.event_count);
    if (r.has_writer) {
        bytes::store_le(at + 32, r.writer.high);
        bytes::store_le(at + 40, r.writer.low);
        bytes::store_le(at + 48, r.event_number);
    }
    return kRecordHeader + fixed;
}

std::size_t encode_relocate_head(const RelocateRecord& r, std::uint8_t* at) {
    put_head(at, RecordType::kRelocate, 0, static_cast<std::uint32_t>(kRelocateFixed + r.data_size));
    bytes::store_le(at + 8, r.id.value());
    bytes::store_le(at + 16, r.offset);
    bytes::store_le(at + 24, r.data_size);
    return kRecordHeader + kRelocateFixed;
}

void encode_payload_header(const PayloadHeader& header, std::uint8_t* at) {
    at[0] = kPayloadVersion;
    at[1] = at[2] = at[3] = 0;
    bytes::store_le(at + 4, header.records);
    bytes::store_le(at + 8, header.wall_ms);
}

namespace {

// Decodes one record's body and hands it over; false when the body is malformed.
class RecordDecoder {
  public:
    RecordDecoder(bytes::ByteSpan payload, RecordVisitor& visitor) : payload_(payload), visitor_(visitor) {}

    // Nothing when the body is malformed, else the visitor's answer.
    std::optional<Result<>> decode(RecordType type, std::uint8_t flags, bytes::Reader body) {
        switch (type) {
            case RecordType::kCreate:
                return create(flags, body);
            case RecordType::kAppend:
                return append(flags, body);
            case RecordType::kAttributes:
                return attributes(body);
            case RecordType::kSeal:
                return segment_only<SealRecord>(body);
            case RecordType::kTruncate:
                return truncate(body);
            case RecordType::kMerge:
                return merge(body);
            case RecordType::kDelete:
                return segment_only<DeleteRecord>(body);
            case RecordType::kTable:
                return table(body);
            case RecordType::kRelocate:
                return relocate(body);
            case RecordType::kTableUpdate:
                return table_update(flags, body);
            case RecordType::kObjectWritten:
                return object_written(body);
        }
        return std::nullopt;
    }

  private:
    template <typename Record>
    std::optional<Result<>> give(const bytes::Reader& body, const Record& record) {
        if (!body.ok()) return std::nullopt;
        return visitor_.on(record);
    }

    template <typename Record>
    std::optional<Result<>> segment_only(bytes::Reader& body) {
        Record record;
        record.id = SegmentId(body.le64());
        return give(body, record);
    }

    std::optional<Result<>> create(std::uint8_t flags, bytes::Reader& body) {
        CreateRecord record;
        record.id = SegmentId(body.le64());
        record.created_ms = static_cast<std::int64_t>(body.le64());
        record.name = body.le_string(kMaxName);
        record.transient = (flags & kFlagTransient) != 0;
        record.attributes = get_attributes(body);
        return give(body, record);
    }

    std::optional<Result<>> append(std::uint8_t flags, bytes::Reader& body) {
        AppendRecord record;
        record.id = SegmentId(body.le64());
        record.offset = body.le64();
        record.data_size = body.le32();
        record.event_count = static_cast<std::int32_t>(body.le32());
        record.has_writer = (flags & kFlagWriter) != 0;
        if (record.has_writer) {
            record.writer = get_uuid(body);
            record.event_number = static_cast<std::int64_t>(body.le64());
        }
        if (!body.ok() || body.remaining() != record.data_size) return std::nullopt;
        record.data_position = static_cast<std::size_t>(body.position() - payload_.data());
        return visitor_.on(record);
    }

    std::optional<Result<>> attributes(bytes::Reader& body) {
        AttributesRecord record;
        record.id = SegmentId(body.le64());
        record.values = get_attributes(body);
        return give(body, record);
    }

    std::optional<Result<>> truncate(bytes::Reader& body) {
        TruncateRecord record;
        record.id = SegmentId(body.le64());
        record.start = body.le64();
        return give(body, record);
    }

    std::optional<Result<>> merge(bytes::Reader& body) {
        MergeRecord record;
        record.target = SegmentId(body.le64());
        record.source = SegmentId(body.le64());
        record.target_offset = body.le64();
        record.source_size = body.le64();
        record.attributes = get_attributes(body);
        return give(body, record);
    }

    std::optional<Result<>> table(bytes::Reader& body) {
        TableRecord record;
        record.table = body.le_string(kMaxName);
        std::uint32_t count = body.le32();
        if (count > body.remaining() / 13) return std::nullopt;
        record.entries.resize(count);
        for (TableRecord::Entry& entry : record.entries) {
            bool present = body.u8() != 0;
            entry.version = static_cast<std::int64_t>(body.le64());
            entry.key = body.le_string(kMaxTableString);
            if (present) entry.value = body.le_string(kMaxTableString);
        }
        return give(body, record);
    }

    std::optional<Result<>> relocate(bytes::Reader& body) {
        RelocateRecord record;
        record.id = SegmentId(body.le64());
        record.offset = body.le64();
        record.data_size = body.le32();
        if (!body.ok() || body.remaining() != record.data_size) return std::nullopt;
        record.data_position = static_cast<std::size_t>(body.position() - payload_.data());
        return visitor_.on(record);
    }

    std::optional<Result<>> table_update(std::uint8_t flags, bytes::Reader& body) {
        TableUpdateRecord record;
        record.id = SegmentId(body.le64());
        record.offset = body.le64();
        record.free_removals = (flags & kFlagFreeRemovals) != 0;
        std::uint32_t count = body.le32();
        if (count > body.remaining() / 5) return std::nullopt;
        record.entries.resize(count);
        for (TableUpdateRecord::Entry& entry : record.entries) {
            bool present = body.u8() != 0;
            entry.key = body.le_string(kMaxTableKey);
            if (present) entry.value = body.le_string(kMaxTableString);
            if (!body.ok() || entry.key.empty()) return std::nullopt;
        }
        if (!body.ok() || record.offset > kMaxOffset - kMaxRecord) return std::nullopt;
        record.number();
        return visitor_.on(std::move(record));
    }

    std::optional<Result<>> object_written(bytes::Reader& body) {
        ObjectWrittenRecord record;
        get_object(body, record.object);
        std::uint32_t count = body.le32();
        if (count > kMaxObjectParts || count > body.remaining() / 32) return std::nullopt;
        record.parts.resize(count);
        for (ObjectPart& part : record.parts) {
            part.segment = SegmentId(body.le64());
            part.offset = body.le64();
            part.size = body.le64();
            part.object_offset = body.le64();
            bool sane = range_is_sane(part.offset, part.size) && part.object_offset <= record.object.data_bytes &&
                        part.size <= record.object.data_bytes - part.object_offset;
            if (!sane) return std::nullopt;
        }
        return give(body, record);
    }

    // Offsets are written as signed integers elsewhere.
    static constexpr std::uint64_t kMaxOffset = std::numeric_limits<std::int64_t>::max();

    bytes::ByteSpan payload_;
    RecordVisitor& visitor_;
};

}  // namespace

Result<PayloadHeader> decode_payload(bytes::ByteSpan payload, RecordVisitor& visitor) {
    bytes::Reader in(payload);
    std::uint8_t version = in.u8();
    in.skip(3);
    PayloadHeader header;
    header.records = in.le32();
    header.wall_ms = static_cast<std::int64_t>(in.le64());
    if (!in.ok()) return fail(Errc::kCorrupt, "operation payload is shorter than its header");
    if (version < kPayloadVersion) {
        return fail(Errc::kUnsupported,
                    fmt::format("operation payload has version {}, which was never released: start with a new data "
                                "directory",
                                version));
    }
    if (version > kPayloadVersion) {
        return fail(Errc::kNewerFormat,
                    fmt::format("operation payload has version {}, this program knows {}", version, kPayloadVersion));
    }
    RecordDecoder decoder(payload, visitor);
    for (std::uint32_t i = 0; i < header.records; ++i) {
        auto at = static_cast<std::size_t>(in.position() - payload.data());
        auto type = static_cast<RecordType>(in.u8());
        std::uint8_t flags = in.u8();
        in.skip(2);
        std::uint32_t size = in.le32();
        bytes::ByteSpan body = in.bytes(size);
        auto corrupt = [&] {
            return fail(Errc::kCorrupt,
                        fmt::format("operation record {} (type {}) at byte {} of a payload of {} is malformed", i,
                                    static_cast<int>(type), at, payload.size()));
        };
        if (!in.ok()) return corrupt();
        auto answer = decoder.decode(type, flags, bytes::Reader(body));
        if (!answer) return corrupt();
        if (!*answer) return std::unexpected(answer->error());
    }
    return header;
}

}  // namespace millrace::container
