// Any bytes from a client, in windows of any size: the connection answers in whole frames, or closes; what it held of
// others is given back in the end (the harness looks at that). Input: frames, and last a byte: whether the containers
// live on another core, and how large the windows are.
#include <algorithm>
#include <cstdint>

#include "base/log.h"
#include "store/store_harness.h"

using namespace millrace;
using namespace millrace::store;

namespace {

constexpr std::size_t kWindowUnit = 24;

void send(Harness& harness, bytes::ByteSpan data, std::size_t window) {
    TestClient& client = harness.connect();
    while (!data.empty() && !client.closed()) {
        std::size_t size = std::min(window, data.size());
        client.send_bytes(data.first(size));
        data = data.subspan(size);
        client.replies();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    log::set_level(log::Level::kError);
    GTEST_FLAG_SET(break_on_failure, true);
    std::uint8_t shape = data[size - 1];
    bytes::ByteSpan frames(data, size - 1);
    std::size_t window = 1 + kWindowUnit * (shape >> 1U);
    StoreOptions options;
    Harness harness(shape & 1, options);
    send(harness, frames, window);
    // Another client finds a server that works, whatever the first one left.
    send(harness, frames, std::max<std::size_t>(1, frames.size()));
    return 0;
}
