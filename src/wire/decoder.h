// The visitor that reads fields. Private to codec.cc. After the first bad field it reads nothing more; the command is
// then dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "bytes/binary.h"
#include "wire/command_type.h"
#include "wire/limits.h"
#include "wire/modified_utf8.h"

namespace millrace::wire {

class Decoder {
  public:
    explicit Decoder(bytes::ByteSpan payload) : in_(payload) {}

    bool ok() const { return bad_field_ == nullptr; }
    Error error(CommandType type) const {
        if (list_ == nullptr) return {code_, fmt::format("{}.{}: {}", to_string(type), bad_field_, why_)};
        return {code_, fmt::format("{}.{}[{}].{}: {}", to_string(type), list_, list_index_, bad_field_, why_)};
    }

    template <typename T>
    void value(const char* name, T& out) {
        read(out);
        check(name);
    }

    void text(const char* name, std::string& out, std::size_t limit = kMaxStringBytes) {
        std::size_t size = in_.u16();
        if (size > limit) return fail(name, Errc::kLimit, "string too long");
        bytes::ByteSpan raw = in_.bytes(size);
        check(name);
        if (in_.ok() && !decode_modified_utf8(raw, out)) fail(name, Errc::kInvalidArgument, "not modified UTF-8");
    }
    void segment(const char* name, std::string& out) { text(name, out, kMaxSegmentNameBytes); }
    void token(const char* name, std::string& out) { text(name, out, kMaxTokenBytes); }

    template <typename Bytes>
    void blob(const char* name, Bytes& out) {
        take(name, in_.i32(), out);
    }
    template <typename Bytes>
    void lenient_blob(const char* name, Bytes& out) {
        std::int32_t size = in_.i32();
        take(name, size < 0 ? 0 : size, out);
    }
    template <typename Bytes>
    void optional_blob(const char* name, Bytes& out) {
        if (in_.remaining() >= sizeof(std::int32_t)) blob(name, out);
    }
    void obsolete_blob(const char* name) {
        bytes::ByteSpan ignored;
        optional_blob(name, ignored);
    }
    void rest(const char*, bytes::ByteSpan& out) {
        if (in_.ok()) out = in_.rest();
    }
    void zeros(const char*, std::int32_t& length) { length = static_cast<std::int32_t>(in_.rest().size()); }

    void event(const char* name, bytes::ByteSpan& event, bytes::ByteSpan& stored) {
        const std::uint8_t* begin = in_.position();
        std::int32_t type = in_.i32();
        std::int32_t size = in_.i32();
        check(name);
        if (!in_.ok()) return;
        if (type != static_cast<std::int32_t>(CommandType::kEvent)) {
            return fail(name, Errc::kInvalidArgument, "nested frame is no EVENT");
        }
        take(name, size, event);
        if (in_.ok()) stored = {begin, static_cast<std::size_t>(in_.position() - begin)};
    }

    template <typename T>
    void optional(const char* name, T& out) {
        constexpr std::size_t kSize = std::is_same_v<T, bool> ? 1 : sizeof(T);
        if (in_.remaining() >= kSize) value(name, out);
    }
    template <typename T>
    void if_any(const char* name, T& out) {
        if (in_.remaining() == 0) return;
        if constexpr (std::is_same_v<T, std::string>) {
            text(name, out);
        } else {
            value(name, out);
        }
    }

    template <typename T>
    void list(const char* name, std::vector<T>& out) {
        items(name, in_.i32(), out);
    }
    template <typename T>
    void lenient_list(const char* name, std::vector<T>& out) {
        std::int32_t count = in_.i32();
        items(name, count < 0 ? 0 : count, out);
    }
    template <typename T>
    void lenient_list_if_any(const char* name, std::vector<T>& out) {
        if (in_.remaining() > 0) lenient_list(name, out);
    }

    // `total` is held against the bytes that remain and not looked at any further; an empty key has no version.
    void table_key(const char* name, std::string& key, std::int64_t& version) {
        if (!sized_bytes(name, key)) return;
        version = in_.i64();
        check(name);
    }
    void table_value(const char* name, std::string& value) { sized_bytes(name, value); }

  private:
    void read(std::int8_t& out) { out = in_.i8(); }
    void read(std::int32_t& out) { out = in_.i32(); }
    void read(std::int64_t& out) { out = in_.i64(); }
    void read(bool& out) { out = in_.u8() != 0; }
    void read(Uuid& out) { out = in_.uuid(); }

    static void assign(bytes::ByteSpan& out, bytes::ByteSpan data) { out = data; }
    static void assign(std::string& out, bytes::ByteSpan data) { out = bytes::as_text(data); }

    template <typename Bytes>
    void take(const char* name, std::int32_t size, Bytes& out) {
        if (in_.ok() && size < 0) return fail(name, Errc::kInvalidArgument, "negative size");
        bytes::ByteSpan data = in_.bytes(static_cast<std::size_t>(size));
        check(name);
        if (in_.ok()) assign(out, data);
    }

    // int32 total, int32 n, n bytes. False when there is nothing more to read of it: n = 0, or malformed.
    bool sized_bytes(const char* name, std::string& out) {
        std::size_t before = in_.remaining();
        std::int32_t total = in_.i32();
        std::int32_t size = in_.i32();
        check(name);
        if (size == 0 || !in_.ok()) return false;
        if (total > 0 && static_cast<std::size_t>(total) > before) {
            fail(name, Errc::kInvalidArgument, "total size runs beyond the frame");
            return false;
        }
        take(name, size, out);
        return in_.ok();
    }

    template <typename T>
    static constexpr std::size_t min_item_bytes() {
        if constexpr (std::is_same_v<T, std::string>) {
            return sizeof(std::uint16_t);
        } else if constexpr (std::is_integral_v<T>) {
            return sizeof(T);
        } else {
            return T::kMinWireBytes;
        }
    }

    template <typename T>
    void item(T& out) {
        if constexpr (std::is_same_v<T, std::string>) {
            segment("name", out);
        } else if constexpr (std::is_integral_v<T>) {
            value("value", out);
        } else {
            T::fields(out, *this);
        }
    }

    template <typename T>
    void items(const char* name, std::int32_t count, std::vector<T>& out) {
        check(name);
        if (!in_.ok()) return;
        if (count < 0) return fail(name, Errc::kInvalidArgument, "negative count");
        auto wanted = static_cast<std::size_t>(count);
        if (wanted > in_.remaining() / min_item_bytes<T>()) {
            return fail(name, Errc::kInvalidArgument, "more items than the frame can hold");
        }
        if (wanted > kMaxListItems) return fail(name, Errc::kLimit, "too many items");
        out.reserve(wanted);
        for (std::size_t i = 0; i < wanted; ++i) {
            item(out.emplace_back());
            if (in_.ok()) continue;
            list_ = name;
            list_index_ = i;
            return;
        }
    }

    void check(const char* name) {
        if (!in_.ok() && bad_field_ == nullptr) fail(name, Errc::kInvalidArgument, "runs beyond the frame");
    }
    void fail(const char* name, Errc code, const char* why) {
        in_.set_failed();
        if (bad_field_ != nullptr) return;
        bad_field_ = name;
        code_ = code;
        why_ = why;
    }

    bytes::Reader in_;
    const char* bad_field_ = nullptr;
    const char* why_ = nullptr;
    const char* list_ = nullptr;  // the list in whose item the bad field is
    std::size_t list_index_ = 0;
    Errc code_ = Errc::kInvalidArgument;
};

}  // namespace millrace::wire
