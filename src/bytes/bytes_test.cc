#include <gtest/gtest.h>

#include "bytes/binary.h"
#include "bytes/buffer.h"
#include "bytes/crc32c.h"
#include "bytes/hash.h"

namespace millrace::bytes {
namespace {

TEST(Slab, IsFreedWithItsLastSlice) {
    std::size_t before = Slab::live_bytes();
    Slice part;
    {
        SlabRef slab = Slab::allocate(5000);
        EXPECT_EQ(slab->capacity(), 8192u);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slab->data()) % kPageSize, 0u);
        std::memset(slab->data(), 7, 5000);
        part = Slice(slab, 100, 50).sub(10, 20);
    }
    EXPECT_EQ(Slab::live_bytes(), before + 8192);
    EXPECT_EQ(part.size(), 20u);
    EXPECT_EQ(part.span()[19], 7);
    part = {};
    EXPECT_EQ(Slab::live_bytes(), before);
}

TEST(Chain, SubSharesAcrossSlices) {
    Chain chain;
    chain.append(Slice::copy_of(as_bytes("hello ")));
    chain.append(Slice());
    chain.append(Slice::copy_of(as_bytes("wide ")));
    chain.append(Slice::copy_of(as_bytes("world")));
    EXPECT_EQ(chain.size(), 16u);
    EXPECT_EQ(chain.slices().size(), 3u);
    auto text = [](const Chain& c) {
        auto all = c.to_vector();
        return std::string(all.begin(), all.end());
    };
    EXPECT_EQ(text(chain.sub(3, 10)), "lo wide wo");
    EXPECT_EQ(text(chain.sub(6, 5)), "wide ");
    EXPECT_EQ(text(chain.sub(16, 0)), "");
}

TEST(Reader, NeverReadsPastTheEnd) {
    std::vector<std::uint8_t> data{0, 0, 0, 1, 2};
    Reader r(data);
    EXPECT_EQ(r.i32(), 1);
    EXPECT_TRUE(r.ok());
    EXPECT_EQ(r.u16(), 0);
    EXPECT_FALSE(r.ok());
    EXPECT_EQ(r.u8(), 0) << "a failed reader stays failed";
    Reader huge(data);
    EXPECT_TRUE(huge.bytes(std::size_t(-1)).empty());
    EXPECT_FALSE(huge.ok());
}

TEST(Writer, RoundTripAndPatch) {
    std::vector<std::uint8_t> out;
    Writer w(out);
    std::size_t at = w.reserve_u32();
    w.i64(-2);
    w.uuid({1, 2});
    w.le_string("x");
    w.patch_u32(at, 77);
    Reader r(out);
    EXPECT_EQ(r.u32(), 77u);
    EXPECT_EQ(r.i64(), -2);
    EXPECT_EQ(r.uuid(), (Uuid{1, 2}));
    EXPECT_EQ(r.le_string(10), "x");
    EXPECT_TRUE(r.ok());
    EXPECT_EQ(r.remaining(), 0u);
}

TEST(Crc32c, CheckValueAndExtend) {
    EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283u);
    EXPECT_EQ(crc32c_extend(crc32c(as_bytes("1234")), as_bytes("56789")), 0xe3069283u);
    EXPECT_EQ(crc32c({}), 0u);
}

TEST(Hash, VectorsOfTheSpecification) {
    struct Row {
        const char* name;
        std::uint64_t hash;
        std::array<std::uint32_t, 6> buckets;  // of 4, 8, 16, 32, 48, 500
    };
    const Row rows[] = {
        {"scope/stream/0.#epoch.0", 0x2f24fa0e019c1719, {3, 3, 3, 19, 46, 370}},
        {"scope/stream/1.#epoch.0", 0xa12f5ecf132a70ca, {3, 5, 15, 30, 30, 73}},
        {"_system/_requeststream/0.#epoch.0", 0x54f86ae12b829d52, {1, 4, 4, 4, 4, 162}},
        {"_system/_commitStream/0.#epoch.0", 0x0090bf8c9039cbfe, {2, 7, 7, 19, 43, 333}},
        {"_system/_tables/scopes", 0x0940666b949f3319, {3, 7, 7, 26, 26, 390}},
        {"a", 0xd13f806d03c92638, {0, 4, 14, 21, 21, 21}},
    };
    for (const Row& row : rows) {
        EXPECT_EQ(murmur3_128(utf16le(container_key(row.name)), 1661405012)[0], row.hash) << row.name;
        const std::uint32_t counts[] = {4, 8, 16, 32, 48, 500};
        for (int i = 0; i < 6; ++i) EXPECT_EQ(container_of(row.name, counts[i]), row.buckets[i]) << row.name;
    }
    EXPECT_EQ(java_string_hash("SegmentToContainerMapper"), 1661405012);
}

TEST(Hash, ContainerKeyIsSharedByRelatives) {
    std::string hex(32, 'a');
    EXPECT_EQ(container_key("s/x/0.#epoch.3"), "s/x/0");
    EXPECT_EQ(container_key("s/x/0.#epoch.3#transaction." + hex), "s/x/0");
    EXPECT_EQ(container_key("s/x/0.#epoch.3#transient." + hex + "." + hex), "s/x/0");
    EXPECT_EQ(container_key("plain"), "plain");
    EXPECT_EQ(utf16le("\xf0\x9f\x98\x80"), (std::vector<std::uint8_t>{0x3d, 0xd8, 0x00, 0xde}));
    EXPECT_EQ(utf16le("\xff").size(), 2u) << "malformed input is replaced, never read past";
}

}  // namespace
}  // namespace millrace::bytes
