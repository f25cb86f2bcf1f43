#include "controller/online_readers.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "bytes/binary.h"

namespace millrace::controller {

namespace {

constexpr std::size_t kEventHeader = 8;
constexpr std::int32_t kEventType = 0;
constexpr std::int32_t kInitialRecord = 1;
constexpr std::int32_t kUpdateRecord = 2;

// Types of updates: those up to kLastInitial replace the whole state.
constexpr std::uint8_t kInitialState = 0;
constexpr std::uint8_t kCompactState = 1;
constexpr std::uint8_t kLastInitial = kCompactState;
constexpr std::uint8_t kAddReader = 2;
constexpr std::uint8_t kRemoveReader = 3;
constexpr std::uint8_t kLastKnown = 13;

// ---- the clients' serializer, as far as it is needed ----

// A count: 1, 2 or 4 bytes by its top bits.
std::uint32_t compact_count(bytes::Reader& in) {
    std::uint32_t first = in.u8();
    if (first < 0x80) return first;
    if (first < 0xC0) return (first & 0x3F) << 8 | in.u8();
    std::uint32_t second = in.u8();
    return (first & 0x3F) << 24 | second << 16 | in.u16();
}

void put_utf8(std::string& out, std::uint32_t code) {
    auto tail = [&](int shift) { out.push_back(static_cast<char>(0x80 | ((code >> shift) & 0x3F))); };
    if (code < 0x80) return out.push_back(static_cast<char>(code));
    if (code < 0x800) {
        out.push_back(static_cast<char>(0xC0 | code >> 6));
        return tail(0);
    }
    if (code < 0x10000) {
        out.push_back(static_cast<char>(0xE0 | code >> 12));
        tail(6);
        return tail(0);
    }
    out.push_back(static_cast<char>(0xF0 | code >> 18));
    tail(12);
    tail(6);
    tail(0);
}

// One UTF-16 unit of a text in Java's modified UTF-8; fails the reader when none can begin so.
std::uint32_t utf16_unit(bytes::Reader& in) {
    std::uint32_t first = in.u8();
    if (first < 0x80) return first;
    auto tail = [&in]() -> std::uint32_t {
        std::uint8_t byte = in.u8();
        if ((byte & 0xC0) != 0x80) in.set_failed();
        return byte & 0x3F;
    };
    if ((first & 0xE0) == 0xC0) return (first & 0x1F) << 6 | tail();
    if ((first & 0xF0) != 0xE0) {
        in.set_failed();
        return 0;
    }
    std::uint32_t middle = tail();
    return (first & 0x0F) << 12 | middle << 6 | tail();
}

// A text, as UTF-8: a surrogate that has no other half becomes U+FFFD.
std::string text(bytes::Reader& in) {
    constexpr std::uint32_t kReplacement = 0xFFFD;
    std::size_t size = in.u16();
    bytes::Reader raw(in.bytes(size));
    std::string out;
    std::uint32_t high = 0;  // waits for its other half
    while (raw.remaining() > 0) {
        std::uint32_t unit = utf16_unit(raw);
        bool is_low = unit >= 0xDC00 && unit < 0xE000;
        if (high != 0 && is_low) {
            put_utf8(out, 0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00));
            high = 0;
            continue;
        }
        if (high != 0) put_utf8(out, kReplacement);
        high = unit >= 0xD800 && unit < 0xDC00 ? unit : 0;
        if (high == 0) put_utf8(out, is_low ? kReplacement : unit);
    }
    if (high != 0) put_utf8(out, kReplacement);
    if (!raw.ok()) in.set_failed();
    return out;
}

void skip_text(bytes::Reader& in) { in.skip(in.u16()); }

template <typename SkipEntry>
void skip_many(bytes::Reader& in, SkipEntry skip_entry) {
    std::uint32_t count = compact_count(in);
    for (std::uint32_t i = 0; i < count && in.ok(); ++i) skip_entry(in);
}

void skip_offset(bytes::Reader& in) {  // of a segment or reader, by name
    skip_text(in);
    in.skip(8);
}

// The readers of a compacted state; none when there are too many.
std::optional<std::set<std::string>> compacted(bytes::Reader& in) {
    in.skip(compact_count(in));     // configuration
    in.skip(compact_count(in));     // checkpoints
    skip_many(in, skip_offset);     // distances to the tail
    skip_many(in, [](auto& each) {  // future segments, with their predecessors
        skip_text(each);
        std::size_t predecessors = compact_count(each);
        each.skip(predecessors * 8);
    });
    std::set<std::string> ids;
    std::uint32_t count = compact_count(in);
    for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
        ids.insert(text(in));
        skip_many(in, skip_offset);  // what it reads
        if (ids.size() > OnlineReaders::kMaxReaders) return std::nullopt;
    }
    return ids;
}

Error too_many() {
    return Error(Errc::kLimit, fmt::format("more than {} readers in one group", OnlineReaders::kMaxReaders));
}

}  // namespace

Error OnlineReaders::corrupt(std::string_view what) const {
    return Error(Errc::kCorrupt, fmt::format("at {}: {}", applied_, what));
}

Result<> OnlineReaders::add(bytes::ByteSpan piece) {
    rest_.insert(rest_.end(), piece.begin(), piece.end());
    bytes::ByteSpan left(rest_);
    while (left.size() >= kEventHeader) {
        bytes::Reader header(left);
        std::int32_t type = header.i32();
        std::size_t size = header.u32();
        if (type != kEventType) return fail(corrupt(fmt::format("an event of type {}", type)));
        if (size > kMaxEvent) return fail(corrupt(fmt::format("an event of {} bytes", size)));
        if (header.remaining() < size) break;
        auto applied = apply_record(header.bytes(size));
        if (!applied) return applied;
        left = left.subspan(kEventHeader + size);
        applied_ += kEventHeader + size;
    }
    rest_.erase(rest_.begin(), rest_.end() - static_cast<std::ptrdiff_t>(left.size()));
    return {};
}

Result<> OnlineReaders::finish() const {
    if (!rest_.empty()) return fail(corrupt("the stream ends within a record"));
    return {};
}

Result<> OnlineReaders::apply_record(bytes::ByteSpan record) {
    bytes::Reader in(record);
    std::int32_t kind = in.i32();
    if (!in.ok()) return fail(corrupt("a record without its kind"));
    if (kind == kInitialRecord) return apply_update(in.rest(), true);
    if (kind != kUpdateRecord) return fail(corrupt(fmt::format("a record of kind {}", kind)));
    while (in.remaining() > 0) {
        std::size_t size = in.u32();
        bytes::ByteSpan update = in.bytes(size);
        if (!in.ok()) return fail(corrupt("an update that is longer than its record"));
        auto applied = apply_update(update, false);
        if (!applied) return applied;
    }
    return {};
}

// A first revision is always what it was; what later versions of a client add stands in further ones.
Result<> OnlineReaders::apply_update(bytes::ByteSpan update, bool initial) {
    bytes::Reader in(update);
    std::uint8_t format = in.u8();
    std::uint8_t type = in.u8();
    std::uint8_t version = in.u8();
    std::uint8_t revisions = in.u8();
    if (!in.ok()) return fail(corrupt("an update that is cut off"));
    bool known = format == 0 && version == 0 && type <= (initial ? kLastInitial : kLastKnown);
    if (!known) {
        return fail(corrupt(fmt::format("an update of format {}, type {}, version {}", format, type, version)));
    }
    if (!initial && !initialized_ && type > kLastInitial) return fail(corrupt("an update of nothing"));
    if (type > kRemoveReader) return {};
    std::uint8_t revision = in.u8();
    std::size_t size = in.u32();
    bytes::Reader fields(in.bytes(size));
    if (!in.ok() || revisions == 0 || revision != 0) return fail(corrupt("an update without its first revision"));
    switch (type) {
        case kInitialState:
            ids_.clear();
            break;
        case kCompactState: {
            auto ids = compacted(fields);
            if (!ids) return fail(too_many());
            ids_ = std::move(*ids);
            break;
        }
        case kAddReader:
            ids_.insert(text(fields));
            break;
        default:
            ids_.erase(text(fields));
            break;
    }
    if (!fields.ok()) return fail(corrupt(fmt::format("an update of type {} that is cut off", type)));
    if (ids_.size() > kMaxReaders) return fail(too_many());
    initialized_ = initialized_ || type <= kLastInitial;
    return {};
}

}  // namespace millrace::controller
