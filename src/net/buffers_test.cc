// ReceiveBuffer and SendQueue without sockets.
#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/units.h"
#include "net/receive_buffer.h"
#include "net/send_queue.h"

namespace millrace::net {
namespace {

using bytes::ByteSpan;
using bytes::Slab;
using bytes::Slice;

constexpr std::size_t kLimit = 17 * kMiB;

std::uint8_t byte_at(std::size_t position) { return static_cast<std::uint8_t>(position * 31 + position / 251); }

// Receives `count` bytes of the endless pattern that byte_at() describes.
void receive(ReceiveBuffer& buffer, std::size_t& position, std::size_t count, std::size_t need = 0) {
    while (count > 0) {
        bytes::MutableByteSpan space = buffer.space(need);
        ASSERT_FALSE(space.empty());
        std::size_t part = std::min(count, space.size());
        for (std::size_t i = 0; i < part; ++i) space[i] = byte_at(position++);
        buffer.received(part);
        count -= part;
    }
}

bool matches(ByteSpan data, std::size_t position) {
    for (std::uint8_t byte : data) {
        if (byte != byte_at(position++)) return false;
    }
    return true;
}

TEST(ReceiveBuffer, HoldsNothingBetweenReads) {
    std::size_t before = Slab::live_bytes();
    std::vector<ReceiveBuffer> buffers;
    buffers.reserve(1000);
    for (int i = 0; i < 1000; ++i) {
        std::size_t position = 0;
        ReceiveBuffer& buffer = buffers.emplace_back(kLimit);
        receive(buffer, position, 100);
        buffer.window();
        buffer.consume(90);
        buffer.park();
        EXPECT_EQ(buffer.size(), 10u);
    }
    EXPECT_LE(Slab::live_bytes() - before, 2 * ReceiveBuffer::kSlabMin);
    for (ReceiveBuffer& buffer : buffers) ASSERT_TRUE(matches(buffer.window().span(), 90));
}

TEST(ReceiveBuffer, GrowsWithWhatComesNotWithWhatIsAskedFor) {
    ReceiveBuffer buffer(kLimit);
    std::size_t before = Slab::live_bytes();
    std::size_t position = 0;
    receive(buffer, position, 100, 16 * kMiB);
    EXPECT_LE(Slab::live_bytes() - before, 4 * ReceiveBuffer::kSlabMin);
    while (position < 16 * kMiB) {
        receive(buffer, position, std::min<std::size_t>(50'000, 16 * kMiB - position), 16 * kMiB);
        ASSERT_LE(Slab::live_bytes() - before, std::max<std::size_t>(5 * position, kMiB)) << position;
    }
    EXPECT_TRUE(matches(buffer.window().span(), 0));
    EXPECT_EQ(buffer.window().size(), 16 * kMiB);
    buffer.consume(16 * kMiB);
    buffer.park();
    EXPECT_LE(Slab::live_bytes() - before, 4 * kMiB);
}

TEST(ReceiveBuffer, RefusesMoreThanItsLimit) {
    ReceiveBuffer buffer(100'000);
    std::size_t position = 0;
    receive(buffer, position, 100'000, 1'000'000);
    EXPECT_TRUE(buffer.space(1'000'000).empty());
    buffer.window();
    buffer.consume(1);
    EXPECT_EQ(buffer.space(0).size(), 1u);
}

TEST(ReceiveBuffer, ReusesItsSlabWhenNobodyElseHoldsIt) {
    ReceiveBuffer buffer(kLimit);
    std::size_t before = Slab::live_bytes();
    std::size_t position = 0;
    for (int i = 0; i < 1000; ++i) {
        receive(buffer, position, 10'000);
        buffer.window();
        buffer.consume(buffer.size());
    }
    EXPECT_LE(Slab::live_bytes() - before, 2 * ReceiveBuffer::kSlabMin);
}

// Whatever is received, consumed, kept and parked: windows and kept slices show the stream as it was sent.
TEST(ReceiveBuffer, KeptSlicesAreNeverOverwritten) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        std::mt19937_64 random(seed);
        auto below = [&](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
        ReceiveBuffer one(kLimit);
        ReceiveBuffer other(kLimit);  // they exchange slabs through the cache
        std::array<std::size_t, 2> received{};
        std::array<std::size_t, 2> consumed{};
        std::vector<std::pair<Slice, std::size_t>> kept;
        for (int step = 0; step < 1500; ++step) {
            std::size_t which = below(2);
            ReceiveBuffer& buffer = which == 0 ? one : other;
            std::size_t need = below(3) == 0 ? buffer.size() + below(300'000) : 0;
            receive(buffer, received[which], below(8) == 0 ? below(200'000) : below(5'000), need);
            Slice window = buffer.window();
            ASSERT_EQ(window.size(), received[which] - consumed[which]);
            std::size_t take = below(4) == 0 ? window.size() : below(window.size() + 1);
            if (below(3) == 0 && take > 0) kept.emplace_back(window.sub(0, take), consumed[which]);
            ASSERT_TRUE(matches(window.span().first(std::min<std::size_t>(take, 64)), consumed[which]));
            buffer.consume(take);
            consumed[which] += take;
            window = Slice();
            if (below(2) == 0) buffer.park();
            if (kept.size() > 40) kept.erase(kept.begin(), kept.begin() + 20);
            if (step % 100 == 0) {
                for (const auto& [slice, position] : kept) ASSERT_TRUE(matches(slice.span(), position)) << seed;
            }
        }
    }
}

TEST(SendQueue, KeepsOrderAcrossKindsAndPartialWrites) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        std::mt19937_64 random(seed);
        auto below = [&](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
        SendQueue queue;
        std::vector<std::uint8_t> expected;
        std::vector<std::uint8_t> written;
        for (int step = 0; step < 1500; ++step) {
            std::vector<std::uint8_t> data(below(10) == 0 ? below(100'000) : below(300));
            for (std::uint8_t& byte : data) byte = static_cast<std::uint8_t>(random());
            expected.insert(expected.end(), data.begin(), data.end());
            switch (below(3)) {
                case 0:
                    queue.copy(data);
                    break;
                case 1:
                    queue.own(std::move(data));
                    break;
                default:
                    queue.share(Slice::copy_of(data));
                    break;
            }
            if (below(3) != 0) continue;
            std::array<iovec, 5> pieces;
            std::size_t total = 0;
            std::size_t count = queue.gather(pieces, below(60'000) + 1, total);
            std::size_t left = below(total + 1);
            std::size_t part_of_all = left;
            for (std::size_t i = 0; i < count && left > 0; ++i) {
                auto* start = static_cast<const std::uint8_t*>(pieces[i].iov_base);
                std::size_t part = std::min(left, pieces[i].iov_len);
                written.insert(written.end(), start, start + part);
                left -= part;
            }
            queue.sent(part_of_all);
            ASSERT_EQ(written.size() + queue.bytes(), expected.size());
        }
        ASSERT_TRUE(std::equal(written.begin(), written.end(), expected.begin()));
    }
}

TEST(SendQueue, GivesSlabsBackThatItNeedsLittleOf) {
    SendQueue queue;
    std::size_t before = bytes::Slab::live_bytes();
    auto fill = [](std::size_t size, std::uint8_t seed) {
        bytes::SlabRef slab = bytes::Slab::allocate(size);
        for (std::size_t i = 0; i < slab->capacity(); ++i) slab->data()[i] = static_cast<std::uint8_t>(i * 7 + seed);
        return slab;
    };
    std::vector<std::uint8_t> expected;
    auto share = [&](const bytes::SlabRef& slab, std::size_t offset, std::size_t size) {
        Slice slice(slab, offset, size);
        expected.insert(expected.end(), slice.data(), slice.data() + size);
        queue.share(slice);
    };
    std::array<std::uint8_t, 40> header{};
    for (std::uint8_t i = 0; i < 20; ++i) {
        queue.copy(header);
        expected.insert(expected.end(), header.begin(), header.end());
        share(fill(kMiB, i), i * 1000u, 4096);
    }
    bytes::SlabRef dense = fill(kMiB, 99);  // read on through: three quarters of it
    for (std::size_t i = 0; i < 192; ++i) share(dense, i * 4096, 4096);
    dense = {};
    EXPECT_EQ(bytes::Slab::live_bytes() - before, 21 * kMiB);
    queue.release_slabs();
    EXPECT_EQ(bytes::Slab::live_bytes() - before, kMiB) << "only the one that is mostly needed";
    share(fill(kMiB, 7), 5, 600);
    queue.release_slabs();
    EXPECT_EQ(bytes::Slab::live_bytes() - before, kMiB);
    std::vector<std::uint8_t> written;
    while (!queue.empty()) {
        std::array<iovec, 8> pieces;
        std::size_t total = 0;
        std::size_t count = queue.gather(pieces, 3000, total);
        for (std::size_t i = 0; i < count; ++i) {
            auto* start = static_cast<const std::uint8_t*>(pieces[i].iov_base);
            written.insert(written.end(), start, start + pieces[i].iov_len);
        }
        queue.sent(total);
        queue.release_slabs();
    }
    EXPECT_EQ(written, expected);
    EXPECT_EQ(bytes::Slab::live_bytes(), before);
}

TEST(SendQueue, SmallPiecesShareOneVector) {
    SendQueue queue;
    std::array<std::uint8_t, 60> reply{};
    for (int i = 0; i < 200; ++i) queue.copy(reply);
    std::array<iovec, 4> pieces;
    std::size_t total = 0;
    EXPECT_EQ(queue.gather(pieces, kMiB, total), 1u);
    EXPECT_EQ(total, 200 * reply.size());
    auto* memory = pieces[0].iov_base;
    queue.sent(total);
    EXPECT_TRUE(queue.empty());
    queue.copy(reply);
    queue.gather(pieces, kMiB, total);
    EXPECT_EQ(pieces[0].iov_base, memory);  // reused
}

}  // namespace
}  // namespace millrace::net
