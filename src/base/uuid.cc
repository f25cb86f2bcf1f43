#include "base/uuid.h"

#include <array>
#include <cstdio>

namespace millrace {

std::string to_string(const Uuid& id) {
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "%08x-%04x-%04x-%04x-%012llx", static_cast<unsigned>(id.high >> 32),
                  static_cast<unsigned>((id.high >> 16) & 0xffff), static_cast<unsigned>(id.high & 0xffff),
                  static_cast<unsigned>(id.low >> 48), static_cast<unsigned long long>(id.low & 0xffffffffffffULL));
    return text.data();
}

std::string to_hex(const Uuid& id) {
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "%016llx%016llx", static_cast<unsigned long long>(id.high),
                  static_cast<unsigned long long>(id.low));
    return text.data();
}

std::optional<Uuid> parse_uuid(std::string_view text) {
    if (text.size() > 36) return std::nullopt;
    std::array<std::uint64_t, 5> group{};
    std::size_t index = 0;
    bool digits = false;
    for (char c : text) {
        if (c == '-') {
            if (!digits || ++index == group.size()) return std::nullopt;
            digits = false;
            continue;
        }
        std::uint64_t digit = 0;
        if (c >= '0' && c <= '9')
            digit = static_cast<std::uint64_t>(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = static_cast<std::uint64_t>(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = static_cast<std::uint64_t>(c - 'A') + 10;
        else
            return std::nullopt;
        group[index] = group[index] << 4 | digit;
        digits = true;
    }
    if (index != 4 || !digits) return std::nullopt;
    Uuid id;
    id.high = (group[0] & 0xffffffff) << 32 | (group[1] & 0xffff) << 16 | (group[2] & 0xffff);
    id.low = (group[3] & 0xffff) << 48 | (group[4] & 0xffffffffffffULL);
    return id;
}

}  // namespace millrace
