// Connection and append path. Each struct lists its fields in wire order; `fields` names them for the codec, which
// reads, writes, measures and prints from that one list. What the visitor's methods mean is said in codec.h.
//
// The append path copies no payload: the spans of AppendBlock, AppendBlockEnd, ConditionalAppend and
// ConditionalBlockEnd lie in the bytes that were decoded, and are valid as long as those.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "base/ids.h"
#include "bytes/buffer.h"
#include "wire/command_type.h"

namespace millrace::wire {

// Of APPEND_SETUP and of attributes: nothing stored.
inline constexpr std::int64_t kNullAttributeValue = std::numeric_limits<std::int64_t>::min();

struct Hello {
    static constexpr CommandType kType = CommandType::kHello;
    std::int32_t high_version = kWireVersion;
    std::int32_t low_version = kOldestWireVersion;

    // Whether a peer that says this and we have a version in common.
    bool compatible() const { return low_version <= kWireVersion && high_version >= kOldestWireVersion; }

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("highVersion", c.high_version);
        v.value("lowVersion", c.low_version);
    }
};

struct KeepAlive {
    static constexpr CommandType kType = CommandType::kKeepAlive;

    template <typename Self, typename Visitor>
    static void fields(Self&, Visitor&) {}
};

struct Padding {
    static constexpr CommandType kType = CommandType::kPadding;
    std::int32_t length = 0;  // zero bytes; when read, bytes that are not looked at

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.zeros("length", c.length);
    }
};

// As appended data holds it, and CONDITIONAL_APPEND; never a frame of its own.
struct Event {
    static constexpr CommandType kType = CommandType::kEvent;
    bytes::ByteSpan data;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.rest("data", c.data);
    }
};

// The last frame inside an APPEND_BLOCK; never a frame of its own.
struct PartialEvent {
    static constexpr CommandType kType = CommandType::kPartialEvent;
    bytes::ByteSpan data;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.rest("data", c.data);
    }
};

struct SetupAppend {
    static constexpr CommandType kType = CommandType::kSetupAppend;
    std::int64_t request_id = 0;
    Uuid writer_id;
    std::string segment;
    std::string delegation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.value("writerId", c.writer_id);
        v.segment("segment", c.segment);
        v.token("delegationToken", c.delegation_token);
    }
};

struct AppendSetup {
    static constexpr CommandType kType = CommandType::kAppendSetup;
    std::int64_t request_id = 0;
    std::string segment;
    Uuid writer_id;
    std::int64_t last_event_number = kNullAttributeValue;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("writerId", c.writer_id);
        v.value("lastEventNumber", c.last_event_number);
    }
};

struct AppendBlock {
    static constexpr CommandType kType = CommandType::kAppendBlock;
    Uuid writer_id;
    bytes::ByteSpan data;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("writerId", c.writer_id);
        v.rest("data", c.data);
    }
};

struct AppendBlockEnd {
    static constexpr CommandType kType = CommandType::kAppendBlockEnd;
    Uuid writer_id;
    std::int32_t size_of_whole_events = 0;
    bytes::ByteSpan data;
    std::int32_t num_events = 0;
    std::int64_t last_event_number = 0;
    std::int64_t request_id = -1;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("writerId", c.writer_id);
        v.value("sizeOfWholeEvents", c.size_of_whole_events);
        v.lenient_blob("data", c.data);
        v.value("numEvents", c.num_events);
        v.value("lastEventNumber", c.last_event_number);
        v.optional("requestId", c.request_id);
    }
};

struct ConditionalAppend {
    static constexpr CommandType kType = CommandType::kConditionalAppend;
    Uuid writer_id;
    std::int64_t event_number = 0;
    std::int64_t expected_offset = 0;
    bytes::ByteSpan event;  // without its header
    std::int64_t request_id = -1;

    // The event as it is stored, its 8-byte header included. Set by decoding; not looked at by encoding.
    bytes::ByteSpan stored;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("writerId", c.writer_id);
        v.value("eventNumber", c.event_number);
        v.value("expectedOffset", c.expected_offset);
        v.event("event", c.event, c.stored);
        v.optional("requestId", c.request_id);
    }
};

struct ConditionalBlockEnd {
    static constexpr CommandType kType = CommandType::kConditionalBlockEnd;
    Uuid writer_id;
    std::int64_t event_number = 0;
    std::int64_t expected_offset = 0;
    bytes::ByteSpan data;
    std::int64_t request_id = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("writerId", c.writer_id);
        v.value("eventNumber", c.event_number);
        v.value("expectedOffset", c.expected_offset);
        v.lenient_blob("data", c.data);
        v.value("requestId", c.request_id);
    }
};

struct DataAppended {
    static constexpr CommandType kType = CommandType::kDataAppended;
    Uuid writer_id;
    std::int64_t event_number = 0;
    std::int64_t previous_event_number = -1;
    std::int64_t request_id = -1;
    std::int64_t current_segment_write_offset = -1;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("writerId", c.writer_id);
        v.value("eventNumber", c.event_number);
        v.optional("previousEventNumber", c.previous_event_number);
        v.optional("requestId", c.request_id);
        v.optional("currentSegmentWriteOffset", c.current_segment_write_offset);
    }
};

struct ConditionalCheckFailed {
    static constexpr CommandType kType = CommandType::kConditionalCheckFailed;
    Uuid writer_id;
    std::int64_t event_number = 0;
    std::int64_t request_id = -1;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("writerId", c.writer_id);
        v.value("eventNumber", c.event_number);
        v.optional("requestId", c.request_id);
    }
};

}  // namespace millrace::wire
