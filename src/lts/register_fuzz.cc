// Any bytes where a register should lie, as they are and with a checksum that is right (it is not to be guessed): what
// is taken is what would be written.
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "bytes/binary.h"
#include "bytes/crc32c.h"
#include "lts/chunk_store.h"
#include "lts/register_format.h"

using namespace millrace;
using namespace millrace::lts;

namespace {

constexpr std::size_t kCrcAt = 12;

void check(bytes::ByteSpan data) {
    auto content = decode_register(data);
    if (!content) return;
    MILLRACE_ASSERT(content->value.size() <= kRegisterSizeMax);
    std::vector<std::uint8_t> again = encode_register(*content);
    MILLRACE_ASSERT(std::equal(again.begin(), again.end(), data.begin(), data.end()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
    std::vector<std::uint8_t> data(input, input + size);
    check(data);
    if (size < kRegisterHeaderSize) return 0;
    bytes::store_le(data.data() + kCrcAt, std::uint32_t{0});
    bytes::store_le(data.data() + kCrcAt, bytes::crc32c(data));
    check(data);
    std::string_view text = bytes::as_text(data);
    (void)check_key(text.substr(kRegisterHeaderSize));
    (void)check_list_prefix(text.substr(kRegisterHeaderSize));
    return 0;
}
