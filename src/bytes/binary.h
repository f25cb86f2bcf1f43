// Binary layouts. Reader never reads past its input: after the first short or malformed field it is failed, returns
// zeros, and ok() is false; check once at the end. Writer appends to a growing buffer and can reserve a placeholder for
// a length. Two byte orders: the wire's big-endian (u16, u32, i64, ...) and the disk formats' little-endian (le32,
// le64, ...).
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/ids.h"
#include "bytes/buffer.h"

namespace millrace::bytes {

template <typename T>
T load_be(const std::uint8_t* at) {
    std::make_unsigned_t<T> value;
    std::memcpy(&value, at, sizeof value);
    if constexpr (sizeof value == 2) value = __builtin_bswap16(value);
    if constexpr (sizeof value == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof value == 8) value = __builtin_bswap64(value);
    return static_cast<T>(value);
}

template <typename T>
void store_be(std::uint8_t* at, T v) {
    auto value = static_cast<std::make_unsigned_t<T>>(v);
    if constexpr (sizeof value == 2) value = __builtin_bswap16(value);
    if constexpr (sizeof value == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof value == 8) value = __builtin_bswap64(value);
    std::memcpy(at, &value, sizeof value);
}

template <typename T>
T load_le(const std::uint8_t* at) {
    static_assert(std::endian::native == std::endian::little);
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

template <typename T>
void store_le(std::uint8_t* at, T value) {
    std::memcpy(at, &value, sizeof value);
}

class Reader {
  public:
    explicit Reader(ByteSpan input) : at_(input.data()), end_(input.data() + input.size()) {}

    bool ok() const { return ok_; }
    std::size_t remaining() const { return static_cast<std::size_t>(end_ - at_); }
    const std::uint8_t* position() const { return at_; }
    void set_failed() {
        ok_ = false;
        at_ = end_;
    }

    std::uint8_t u8() { return fixed<std::uint8_t>(load_be<std::uint8_t>); }
    std::int8_t i8() { return static_cast<std::int8_t>(u8()); }
    std::uint16_t u16() { return fixed<std::uint16_t>(load_be<std::uint16_t>); }
    std::uint32_t u32() { return fixed<std::uint32_t>(load_be<std::uint32_t>); }
    std::uint64_t u64() { return fixed<std::uint64_t>(load_be<std::uint64_t>); }
    std::int32_t i32() { return static_cast<std::int32_t>(u32()); }
    std::int64_t i64() { return static_cast<std::int64_t>(u64()); }
    Uuid uuid() {
        std::uint64_t high = u64();
        std::uint64_t low = u64();
        return {high, low};
    }
    std::uint16_t le16() { return fixed<std::uint16_t>(load_le<std::uint16_t>); }
    std::uint32_t le32() { return fixed<std::uint32_t>(load_le<std::uint32_t>); }
    std::uint64_t le64() { return fixed<std::uint64_t>(load_le<std::uint64_t>); }

    // `size` bytes, sharing the input; empty and failed when there are fewer.
    ByteSpan bytes(std::size_t size) {
        if (size > remaining()) {
            set_failed();
            return {};
        }
        ByteSpan taken(at_, size);
        at_ += size;
        return taken;
    }
    ByteSpan rest() { return bytes(remaining()); }
    void skip(std::size_t size) { bytes(size); }

    // Disk formats' string: le32 length, then the bytes; longer than `limit` is a failure.
    std::string_view le_string(std::size_t limit) {
        std::uint32_t size = le32();
        if (size > limit) {
            set_failed();
            return {};
        }
        return as_text(bytes(size));
    }

  private:
    template <typename T, typename Load>
    T fixed(Load load) {
        if (remaining() < sizeof(T)) {
            set_failed();
            return 0;
        }
        T value = load(at_);
        at_ += sizeof(T);
        return value;
    }

    const std::uint8_t* at_;
    const std::uint8_t* end_;
    bool ok_ = true;
};

// Appends to a caller's vector-like buffer. The buffer is reused by its owner, so that steady state allocates nothing.
class Writer {
  public:
    explicit Writer(std::vector<std::uint8_t>& out) : out_(&out) {}

    std::size_t size() const { return out_->size(); }
    std::uint8_t* grow(std::size_t size) {
        std::size_t old = out_->size();
        out_->resize(old + size);
        return out_->data() + old;
    }

    void u8(std::uint8_t v) { out_->push_back(v); }
    void i8(std::int8_t v) { u8(static_cast<std::uint8_t>(v)); }
    void boolean(bool v) { u8(v ? 1 : 0); }
    void u16(std::uint16_t v) { store_be(grow(2), v); }
    void u32(std::uint32_t v) { store_be(grow(4), v); }
    void u64(std::uint64_t v) { store_be(grow(8), v); }
    void i32(std::int32_t v) { store_be(grow(4), v); }
    void i64(std::int64_t v) { store_be(grow(8), v); }
    void uuid(const Uuid& id) {
        u64(id.high);
        u64(id.low);
    }
    void le16(std::uint16_t v) { store_le(grow(2), v); }
    void le32(std::uint32_t v) { store_le(grow(4), v); }
    void le64(std::uint64_t v) { store_le(grow(8), v); }
    void bytes(ByteSpan data) { out_->insert(out_->end(), data.begin(), data.end()); }
    void le_string(std::string_view text) {
        le32(static_cast<std::uint32_t>(text.size()));
        bytes(as_bytes(text));
    }

    // Placeholder of four bytes for a big-endian length that is known later.
    std::size_t reserve_u32() {
        std::size_t at = out_->size();
        grow(4);
        return at;
    }
    void patch_u32(std::size_t at, std::uint32_t v) { store_be(out_->data() + at, v); }

  private:
    std::vector<std::uint8_t>* out_;
};

}  // namespace millrace::bytes
