#include "base/text.h"

#include <cstdint>

#include <fmt/format.h>

namespace millrace {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Range {
    std::uint8_t low;
    std::uint8_t high;
};

// Bytes of the character that the text begins with; 0 when it begins with none.
std::size_t character_size(std::string_view text) {
    auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    std::uint8_t first = byte(0);
    if (first < 0x80) return 1;
    std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < size) return 0;
    // What the second byte may be keeps out overlong forms, surrogates, and what lies above U+10FFFF.
    Range second{0x80, 0xBF};
    if (first == 0xE0) second.low = 0xA0;
    if (first == 0xED) second.high = 0x9F;
    if (first == 0xF0) second.low = 0x90;
    if (first == 0xF4) second.high = 0x8F;
    if (byte(1) < second.low || byte(1) > second.high) return 0;
    for (std::size_t i = 2; i < size; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
    }
    return size;
}

// Gives the text to `take(std::string_view)` character by character, until that says false.
template <typename Take>
void each_character(std::string_view text, Take take) {
    while (!text.empty()) {
        std::size_t size = character_size(text);
        if (!take(size == 0 ? kReplacement : text.substr(0, size))) return;
        text.remove_prefix(size == 0 ? 1 : size);
    }
}

bool is_control(std::string_view character) {
    auto first = static_cast<std::uint8_t>(character[0]);
    return first < 0x20 || first == 0x7F;
}

}  // namespace

std::string printable(std::string_view text, std::size_t bytes_max) {
    std::string out;
    each_character(text, [&](std::string_view character) {
        if (out.size() + character.size() > bytes_max) return false;
        out += is_control(character) ? "?" : character;
        return true;
    });
    return out;
}

std::string json_escape(std::string_view text) {
    std::string out;
    out.reserve(text.size() + 8);
    each_character(text, [&](std::string_view character) {
        if (character == "\"" || character == "\\") {
            out += '\\';
            out += character;
        } else if (is_control(character)) {
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(character[0]));
        } else {
            out += character;
        }
        return true;
    });
    return out;
}

}  // namespace millrace
