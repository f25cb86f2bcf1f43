// Clients write what stands in a reader group's stream: whatever it is, and however it comes in pieces, the answer is
// the same.
#include <cstdint>
#include <cstdlib>

#include "controller/online_readers.h"

using millrace::controller::OnlineReaders;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    millrace::bytes::ByteSpan all(data + 1, size - 1);
    OnlineReaders whole;
    auto taken = whole.add(all);
    OnlineReaders pieces;
    std::size_t length = data[0] % 31U + 1;
    millrace::Result<> taken_apart;
    for (std::size_t at = 0; taken_apart && at < all.size(); at += length) {
        taken_apart = pieces.add(all.subspan(at, std::min(length, all.size() - at)));
    }
    if (taken.has_value() != taken_apart.has_value()) std::abort();
    if (taken && whole.ids() != pieces.ids()) std::abort();
    if (taken && whole.finish().has_value() != pieces.finish().has_value()) std::abort();
    return 0;
}
