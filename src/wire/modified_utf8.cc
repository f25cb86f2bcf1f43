#include "wire/modified_utf8.h"

#include <cstring>

namespace millrace::wire {
namespace {

constexpr std::uint32_t kReplacement = 0xFFFD;

bool is_continuation(std::uint8_t byte) { return (byte & 0xC0) == 0x80; }
bool is_high_surrogate(std::uint32_t c) { return c >= 0xD800 && c <= 0xDBFF; }
bool is_low_surrogate(std::uint32_t c) { return c >= 0xDC00 && c <= 0xDFFF; }

// Length of the prefix that is the same in both encodings when `zero_too` is false, that needs no translation from
// modified UTF-8 when it is true: ASCII.
std::size_t ascii_prefix(const std::uint8_t* data, std::size_t size, bool zero_too) {
    constexpr std::uint64_t kHighBits = 0x8080808080808080u;
    constexpr std::uint64_t kOnes = 0x0101010101010101u;
    std::size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        std::uint64_t word;
        std::memcpy(&word, data + at, 8);
        if ((word & kHighBits) != 0) break;
        if (!zero_too && ((word - kOnes) & kHighBits) != 0)
            break;  // a byte of zero borrows; no byte has its high bit set
    }
    while (at < size && data[at] < 0x80 && (zero_too || data[at] != 0)) ++at;
    return at;
}

void append_utf8(std::string& out, std::uint32_t c) {
    if (c < 0x80) {
        out.push_back(static_cast<char>(c));
    } else if (c < 0x800) {
        out.push_back(static_cast<char>(0xC0 | (c >> 6)));
        out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
    } else if (c < 0x10000) {
        out.push_back(static_cast<char>(0xE0 | (c >> 12)));
        out.push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3F)));
        out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
    } else {
        out.push_back(static_cast<char>(0xF0 | (c >> 18)));
        out.push_back(static_cast<char>(0x80 | ((c >> 12) & 0x3F)));
        out.push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3F)));
        out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
    }
}

struct Unit {
    std::uint32_t value = 0;
    std::size_t size = 0;  // 0: malformed
};

// One UTF-16 code unit of modified UTF-8.
Unit next_unit(const std::uint8_t* data, std::size_t size) {
    std::uint8_t first = data[0];
    if (first < 0x80) return {first, 1};
    if ((first & 0xE0) == 0xC0) {
        if (size < 2 || !is_continuation(data[1])) return {};
        return {(first & 0x1Fu) << 6 | (data[1] & 0x3Fu), 2};
    }
    if ((first & 0xF0) == 0xE0) {
        if (size < 3 || !is_continuation(data[1]) || !is_continuation(data[2])) return {};
        return {(first & 0x0Fu) << 12 | (data[1] & 0x3Fu) << 6 | (data[2] & 0x3Fu), 3};
    }
    return {};
}

// One character of UTF-8, surrogates tolerated; a byte that begins none is U+FFFD of length 1. `size` is at least 1.
Unit next_character(const std::uint8_t* data, std::size_t size) {
    constexpr Unit kInvalid{kReplacement, 1};
    std::uint8_t first = data[0];
    if (first < 0x80) return {first, 1};
    if (first >= 0xF0) {
        if (first > 0xF4 || size < 4) return kInvalid;
        if (!is_continuation(data[1]) || !is_continuation(data[2]) || !is_continuation(data[3])) return kInvalid;
        std::uint32_t c = (first & 0x07u) << 18 | (data[1] & 0x3Fu) << 12 | (data[2] & 0x3Fu) << 6 | (data[3] & 0x3Fu);
        return c < 0x10000 || c > 0x10FFFF ? kInvalid : Unit{c, 4};
    }
    Unit unit = next_unit(data, size);
    if (unit.size == 0) return kInvalid;
    bool overlong = unit.value < (unit.size == 2 ? 0x80u : 0x800u);
    return overlong ? kInvalid : unit;
}

std::size_t encoded_size(std::uint32_t c) {
    if (c == 0) return 2;
    if (c < 0x80) return 1;
    if (c < 0x800) return 2;
    return c < 0x10000 ? 3 : 6;
}

std::uint8_t* write_unit(std::uint8_t* at, std::uint32_t c) {
    if (c != 0 && c < 0x80) {
        *at++ = static_cast<std::uint8_t>(c);
    } else if (c < 0x800) {
        *at++ = static_cast<std::uint8_t>(0xC0 | (c >> 6));
        *at++ = static_cast<std::uint8_t>(0x80 | (c & 0x3F));
    } else {
        *at++ = static_cast<std::uint8_t>(0xE0 | (c >> 12));
        *at++ = static_cast<std::uint8_t>(0x80 | ((c >> 6) & 0x3F));
        *at++ = static_cast<std::uint8_t>(0x80 | (c & 0x3F));
    }
    return at;
}

}  // namespace

bool decode_modified_utf8(bytes::ByteSpan in, std::string& out) {
    const std::uint8_t* data = in.data();
    std::size_t at = ascii_prefix(data, in.size(), true);
    out.assign(reinterpret_cast<const char*>(data), at);
    while (at < in.size()) {
        Unit unit = next_unit(data + at, in.size() - at);
        if (unit.size == 0) return false;
        at += unit.size;
        std::uint32_t c = unit.value;
        if (is_high_surrogate(c) && at < in.size()) {
            Unit low = next_unit(data + at, in.size() - at);
            if (low.size != 0 && is_low_surrogate(low.value)) {
                at += low.size;
                c = 0x10000 + ((c - 0xD800) << 10) + (low.value - 0xDC00);
            }
        }
        append_utf8(out, c);
    }
    return true;
}

ModifiedUtf8Extent measure_modified_utf8(std::string_view text, std::size_t limit) {
    const auto* data = reinterpret_cast<const std::uint8_t*>(text.data());
    std::size_t at = ascii_prefix(data, text.size() < limit ? text.size() : limit, false);
    std::size_t encoded = at;
    while (at < text.size()) {
        Unit character = next_character(data + at, text.size() - at);
        std::size_t size = encoded_size(character.value);
        if (encoded + size > limit) break;
        encoded += size;
        at += character.size;
    }
    return {at, encoded};
}

void encode_modified_utf8(std::string_view text, ModifiedUtf8Extent extent, std::uint8_t* target) {
    const auto* data = reinterpret_cast<const std::uint8_t*>(text.data());
    std::size_t at = 0;
    if (extent.source_bytes == extent.encoded_bytes) {
        at = ascii_prefix(data, extent.source_bytes, false);
        if (at > 0) std::memcpy(target, data, at);
        target += at;
    }
    while (at < extent.source_bytes) {
        // The whole text, not the part that fits, decides what a character is: the same view as when it was measured.
        Unit character = next_character(data + at, text.size() - at);
        at += character.size;
        if (character.value < 0x10000) {
            target = write_unit(target, character.value);
        } else {
            std::uint32_t offset = character.value - 0x10000;
            target = write_unit(target, 0xD800 + (offset >> 10));
            target = write_unit(target, 0xDC00 + (offset & 0x3FF));
        }
    }
}

}  // namespace millrace::wire
