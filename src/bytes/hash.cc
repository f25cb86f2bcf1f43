#include "bytes/hash.h"

#include "bytes/binary.h"

namespace millrace::bytes {
namespace {

constexpr std::uint64_t kMul1 = 0x87c37b91114253d5ULL;
constexpr std::uint64_t kMul2 = 0x4cf5ad432745937fULL;
constexpr std::uint64_t kMapperSeed = 1661405012;  // String.hashCode("SegmentToContainerMapper")

std::uint64_t rotl(std::uint64_t x, int r) { return x << r | x >> (64 - r); }

std::uint64_t final_mix(std::uint64_t k) {
    k ^= k >> 33;
    k *= 0xff51afd7ed558ccdULL;
    k ^= k >> 33;
    k *= 0xc4ceb9fe1a85ec53ULL;
    k ^= k >> 33;
    return k;
}

// One code point; malformed input yields U+FFFD and consumes one byte.
char32_t next_code_point(std::string_view text, std::size_t& at) {
    auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    std::uint8_t first = byte(at++);
    if (first < 0x80) return first;
    int extra = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
    if (extra == 0 || at + static_cast<std::size_t>(extra) > text.size()) return 0xfffd;
    char32_t code = first & (0x3f >> extra);
    for (int i = 0; i < extra; ++i) {
        if ((byte(at + static_cast<std::size_t>(i)) & 0xc0) != 0x80) return 0xfffd;
        code = code << 6 | (byte(at + static_cast<std::size_t>(i)) & 0x3f);
    }
    at += static_cast<std::size_t>(extra);
    return code;
}

template <typename Visit>
void for_each_code_unit(std::string_view utf8, Visit visit) {
    for (std::size_t at = 0; at < utf8.size();) {
        char32_t code = next_code_point(utf8, at);
        if (code < 0x10000) {
            visit(static_cast<std::uint16_t>(code));
        } else {
            code -= 0x10000;
            visit(static_cast<std::uint16_t>(0xd800 | (code >> 10)));
            visit(static_cast<std::uint16_t>(0xdc00 | (code & 0x3ff)));
        }
    }
}

}  // namespace

std::array<std::uint64_t, 2> murmur3_128(ByteSpan data, std::uint64_t seed) {
    std::uint64_t h1 = seed;
    std::uint64_t h2 = seed;
    std::size_t blocks = data.size() / 16;
    for (std::size_t i = 0; i < blocks; ++i) {
        auto k1 = load_le<std::uint64_t>(data.data() + i * 16);
        auto k2 = load_le<std::uint64_t>(data.data() + i * 16 + 8);
        h1 ^= rotl(k1 * kMul1, 31) * kMul2;
        h1 = (rotl(h1, 27) + h2) * 5 + 0x52dce729;
        h2 ^= rotl(k2 * kMul2, 33) * kMul1;
        h2 = (rotl(h2, 31) + h1) * 5 + 0x38495ab5;
    }
    ByteSpan tail = data.subspan(blocks * 16);
    std::uint64_t k1 = 0;
    std::uint64_t k2 = 0;
    for (std::size_t i = tail.size(); i > 8; --i) k2 ^= static_cast<std::uint64_t>(tail[i - 1]) << ((i - 9) * 8);
    if (tail.size() > 8) h2 ^= rotl(k2 * kMul2, 33) * kMul1;
    for (std::size_t i = std::min<std::size_t>(tail.size(), 8); i > 0; --i) {
        k1 ^= static_cast<std::uint64_t>(tail[i - 1]) << ((i - 1) * 8);
    }
    if (!tail.empty()) h1 ^= rotl(k1 * kMul1, 31) * kMul2;
    h1 ^= data.size();
    h2 ^= data.size();
    h1 += h2;
    h2 += h1;
    h1 = final_mix(h1);
    h2 = final_mix(h2);
    h1 += h2;
    h2 += h1;
    return {h1, h2};
}

std::vector<std::uint8_t> utf16le(std::string_view utf8) {
    std::vector<std::uint8_t> out;
    out.reserve(utf8.size() * 2);
    for_each_code_unit(utf8, [&](std::uint16_t unit) {
        out.push_back(static_cast<std::uint8_t>(unit));
        out.push_back(static_cast<std::uint8_t>(unit >> 8));
    });
    return out;
}

std::int32_t java_string_hash(std::string_view utf8) {
    std::uint32_t hash = 0;
    for_each_code_unit(utf8, [&](std::uint16_t unit) { hash = hash * 31 + unit; });
    return static_cast<std::int32_t>(hash);
}

std::uint32_t jump_consistent_hash(std::uint64_t key, std::uint32_t buckets) {
    std::uint64_t state = key;
    std::int64_t candidate = 0;
    for (;;) {
        state = 2862933555777941757ULL * state + 1;
        double ratio = static_cast<double>(static_cast<std::int32_t>(state >> 33) + 1) / 0x1.0p31;
        auto next = static_cast<std::int64_t>(static_cast<double>(candidate + 1) / ratio);
        if (next < 0 || next >= static_cast<std::int64_t>(buckets)) return static_cast<std::uint32_t>(candidate);
        candidate = next;
    }
}

std::string_view container_key(std::string_view name) {
    constexpr std::string_view kTransaction = "#transaction.";
    constexpr std::string_view kTransient = "#transient.";
    auto cut_before = [&name](std::string_view marker) {
        std::size_t at = name.rfind(marker);
        if (at == std::string_view::npos || at == 0) return false;
        name = name.substr(0, at);
        return true;
    };
    while (cut_before(kTransaction) || cut_before(kTransient)) {
    }
    std::size_t epoch = name.rfind(".#epoch.");
    return epoch == std::string_view::npos ? name : name.substr(0, epoch);
}

std::uint32_t container_of(std::string_view segment_name, std::uint32_t containers) {
    return jump_consistent_hash(murmur3_128(utf16le(container_key(segment_name)), kMapperSeed)[0], containers);
}

}  // namespace millrace::bytes
