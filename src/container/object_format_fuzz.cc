// Any bytes as an object in long-term storage: the reader answers, and a footer that it takes is one that the writer
// would have written for these checksums. Input: u16 bytes of data, a byte whose lowest bit puts right the checksums of
// the footer (they are not to be guessed), the data, the footer.
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "bytes/binary.h"
#include "bytes/crc32c.h"
#include "container/object_format.h"

using namespace millrace;
using namespace millrace::container;

namespace {

// More than one block from a short input.
constexpr std::size_t kStretch = 8;
constexpr std::string_view kKey = "k";

void put_right(std::vector<std::uint8_t>& footer) {
    if (footer.size() < kObjectTail) return;
    std::size_t tail = footer.size() - kObjectTail;
    bytes::store_le(footer.data() + tail + 20, bytes::crc32c({footer.data(), tail}));
    bytes::store_le(footer.data() + footer.size() - 4, bytes::crc32c({footer.data() + tail, kObjectTail - 4}));
}

// What the writer makes of the data is taken, whatever the pieces it came in, and one changed bit is found.
void check_written(const std::vector<std::uint8_t>& data, std::size_t piece) {
    ObjectChecksums sums;
    for (std::size_t at = 0; at < data.size(); at += piece) {
        sums.add(bytes::ByteSpan(data).subspan(at, std::min(piece, data.size() - at)));
    }
    bytes::Slice footer = sums.footer(kKey);
    MILLRACE_ASSERT(data.size() + footer.size() == object_bytes(data.size()));
    auto table = read_footer(footer.span(), data.size(), kKey);
    MILLRACE_ASSERT(table && !first_damaged_block(data, 0, *table));
    MILLRACE_ASSERT(!read_footer(footer.span(), data.size(), "another"));
    if (data.empty()) return;
    std::vector<std::uint8_t> damaged = data;
    std::size_t where = piece % data.size();
    damaged[where] ^= 0x10;
    MILLRACE_ASSERT(first_damaged_block(damaged, 0, *table) == where / kObjectBlock * kObjectBlock);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
    bytes::Reader in(bytes::ByteSpan(input, size));
    std::size_t data_bytes = in.le16();
    std::uint8_t shape = in.u8();
    if (!in.ok()) return 0;
    bytes::ByteSpan given = in.bytes(std::min(data_bytes, in.remaining()));
    std::vector<std::uint8_t> data;
    for (std::size_t i = 0; i < kStretch; ++i) data.insert(data.end(), given.begin(), given.end());
    bytes::ByteSpan rest = in.rest();
    std::vector<std::uint8_t> footer(rest.begin(), rest.end());
    if (shape & 1) put_right(footer);
    // The size that the manifest tells, and one of the input's own.
    for (std::uint64_t told : {std::uint64_t{data.size()}, bytes::Reader(rest).le64()}) {
        auto table = read_footer(footer, told, kKey);
        if (!table) continue;
        MILLRACE_ASSERT(table->size() == object_blocks(told));
        (void)first_damaged_block(data, shape, *table);
    }
    check_written(data, 1 + std::size_t{shape} * 997);
    return 0;
}
