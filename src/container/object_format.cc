#include "container/object_format.h"

#include <algorithm>
#include <optional>

#include "bytes/binary.h"
#include "bytes/crc32c.h"
#include "container/operation.h"

namespace millrace::container {
namespace {
constexpr std::uint64_t kMagic = 0x0a334a424f524c4dULL;  // "MLROBJ3\n"
}

void ObjectChecksums::add(bytes::ByteSpan data) {
    while (!data.empty()) {
        std::uint64_t filled = data_bytes_ % kObjectBlock;
        std::size_t taken = std::min<std::uint64_t>(data.size(), kObjectBlock - filled);
        current_ = filled == 0 ? bytes::crc32c(data.first(taken)) : bytes::crc32c_extend(current_, data.first(taken));
        data_bytes_ += taken;
        data = data.subspan(taken);
        if (data_bytes_ % kObjectBlock == 0) blocks_.push_back(current_);
    }
}

bytes::Slice ObjectChecksums::footer(std::string_view key) {
    if (data_bytes_ % kObjectBlock != 0) blocks_.push_back(current_);
    std::vector<std::uint8_t> out;
    bytes::Writer writer(out);
    for (std::uint32_t block : blocks_) writer.le32(block);
    out.resize(object_footer_bytes(data_bytes_) - kObjectTail);
    std::uint32_t table = bytes::crc32c(out);
    std::size_t tail = out.size();
    writer.le64(kMagic);
    writer.le64(data_bytes_);
    writer.le32(kObjectBlock);
    writer.le32(table);
    writer.le32(bytes::crc32c(bytes::as_bytes(key)));
    writer.le32(bytes::crc32c({out.data() + tail, kObjectTail - 4}));
    return bytes::Slice::copy_of(out);
}

Result<std::vector<std::uint32_t>> read_footer(bytes::ByteSpan footer, std::uint64_t data_bytes, std::string_view key) {
    if (data_bytes > kMaxObjectBytes) return fail(Errc::kCorrupt, "it is told to be larger than any object");
    if (footer.size() != object_footer_bytes(data_bytes)) return fail(Errc::kCorrupt, "its footer has another size");
    bytes::ByteSpan table = footer.first(footer.size() - kObjectTail);
    bytes::ByteSpan tail = footer.last(kObjectTail);
    bytes::Reader in(tail);
    std::uint64_t magic = in.le64();
    std::uint64_t size = in.le64();
    std::uint32_t block = in.le32();
    std::uint32_t table_crc = in.le32();
    std::uint32_t key_crc = in.le32();
    std::uint32_t tail_crc = in.le32();
    if (tail_crc != bytes::crc32c(tail.first(kObjectTail - 4))) return fail(Errc::kCorrupt, "its tail is damaged");
    if (magic != kMagic || block != kObjectBlock) return fail(Errc::kCorrupt, "its tail is not that of an object");
    if (key_crc != bytes::crc32c(bytes::as_bytes(key)))
        return fail(Errc::kCorrupt, "its tail is that of another object, in this one's place");
    if (size != data_bytes) return fail(Errc::kCorrupt, "its tail tells another size");
    if (table_crc != bytes::crc32c(table)) return fail(Errc::kCorrupt, "its table of checksums is damaged");
    std::vector<std::uint32_t> blocks(object_blocks(data_bytes));
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = bytes::load_le<std::uint32_t>(table.data() + 4 * i);
    return blocks;
}

std::optional<std::uint64_t> first_damaged_block(bytes::ByteSpan data, std::uint64_t first_block,
                                                 const std::vector<std::uint32_t>& table) {
    for (std::uint64_t at = 0, block = first_block; at < data.size(); at += kObjectBlock, ++block) {
        bytes::ByteSpan part = data.subspan(at, std::min<std::uint64_t>(kObjectBlock, data.size() - at));
        if (block >= table.size() || bytes::crc32c(part) != table[block]) return at;
    }
    return std::nullopt;
}

}  // namespace millrace::container
