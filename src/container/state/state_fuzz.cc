// Any bytes may stand where a record of the state should: the decoders answer, and what they take is what they would
// write. Input: u16 length of the key, key, value.
#include <cstdlib>

#include "container/state/all_records.h"

using namespace millrace;
using namespace millrace::container::state;

namespace {

template <typename Record>
void decode(std::string_view key, std::string_view value) {
    auto record = Record::decode(key, value);
    if (!record) return;
    std::vector<std::uint8_t> written;
    bytes::Writer out(written);
    record->encode_key(out);
    if (bytes::as_text(written) != key) std::abort();
    written.clear();
    record->encode_value(out);
    if (bytes::as_text(written) != value) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    bytes::Reader in(bytes::ByteSpan(data, size));
    std::size_t key_size = in.u16();
    std::string key(bytes::as_text(in.bytes(std::min(key_size, in.remaining()))));
    std::string_view value = bytes::as_text(in.rest());
    for_each_record_type([&]<typename Record>() {
        decode<Record>(key, value);
        // The kind is known to whoever calls a decoder.
        if (!key.empty()) key[0] = static_cast<char>(Record::kKind);
        decode<Record>(key, value);
    });
    return 0;
}
