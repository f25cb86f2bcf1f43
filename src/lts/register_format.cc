#include "lts/register_format.h"

#include <fmt/format.h>

#include "bytes/binary.h"
#include "bytes/crc32c.h"
#include "lts/chunk_store.h"

namespace millrace::lts {
namespace {

constexpr std::string_view kMagic = "MLRREGIS";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kCrcAt = 12;

std::uint32_t crc_of(bytes::ByteSpan data) {
    static constexpr std::uint8_t kZeros[4] = {};
    std::uint32_t crc = bytes::crc32c(data.first(kCrcAt));
    crc = bytes::crc32c_extend(crc, kZeros);
    return bytes::crc32c_extend(crc, data.subspan(kCrcAt + 4));
}

}  // namespace

std::vector<std::uint8_t> encode_register(const RegisterContent& content) {
    std::vector<std::uint8_t> data;
    bytes::Writer out(data);
    out.bytes(bytes::as_bytes(kMagic));
    out.le32(kVersion);
    out.le32(0);
    out.uuid(content.write_id);
    out.le32(static_cast<std::uint32_t>(content.value.size()));
    out.bytes(content.value);
    bytes::store_le(data.data() + kCrcAt, crc_of(data));
    return data;
}

Result<RegisterContent> decode_register(bytes::ByteSpan data) {
    bytes::Reader in(data);
    std::string_view magic = bytes::as_text(in.bytes(kMagic.size()));
    std::uint32_t version = in.le32();
    std::uint32_t crc = in.le32();
    if (!in.ok() || magic != kMagic) return fail(Errc::kCorrupt, "not a register: damaged, or not written by Millrace");
    if (version > kVersion) return fail(Errc::kNewerFormat, fmt::format("register of version {}", version));
    RegisterContent content;
    content.write_id = in.uuid();
    std::uint32_t size = in.le32();
    bytes::ByteSpan value = in.bytes(size);
    if (!in.ok() || in.remaining() != 0 || version != kVersion || size > kRegisterSizeMax || crc_of(data) != crc)
        return fail(Errc::kCorrupt, "damaged register");
    content.value.assign(value.begin(), value.end());
    return content;
}

}  // namespace millrace::lts
