// Reads by other rooms, through the router, of containers on this core and on another one.
#include "store/segment_router.h"

#include <optional>

#include <gtest/gtest.h>

#include "store/store_harness.h"

namespace millrace::store {
namespace {

struct RouterReads : StoreFixture {
    Result<std::string> read_at(std::int64_t offset, std::size_t max_bytes, const std::string& from = kSegment) {
        std::optional<Result<bytes::Chain>> result;
        auto done = [&](Result<bytes::Chain> r) { result = std::move(r); };
        h().router->read(from, offset, max_bytes, h().loop, done);
        EXPECT_FALSE(result) << "never inside the call";
        h().run();
        if (!result) return fail(Errc::kClosed, "no answer");
        if (!*result) return fail(result->error());
        std::vector<std::uint8_t> all = (*result)->to_vector();
        return std::string(all.begin(), all.end());
    }
};

INSTANTIATE_TEST_SUITE_P(Cores, RouterReads, testing::Bool());

TEST_P(RouterReads, WhatIsThereAndNoMore) {
    TestClient& client = connect_with_writer();
    EXPECT_EQ(read_at(0, 100), "") << "it does not wait for the first bytes";
    client.call<wire::DataAppended>(append(1, "0123456789"));
    EXPECT_EQ(read_at(0, 100), "0123456789");
    EXPECT_EQ(read_at(3, 4), "3456");
    EXPECT_EQ(read_at(0, 0), "");
    EXPECT_EQ(read_at(10, 100), "");
    EXPECT_EQ(read_at(11, 100), "");
    client.call<wire::SegmentSealed>(seal(kSegment));
    EXPECT_EQ(read_at(8, 100), "89");
    EXPECT_EQ(read_at(10, 100), "");
    EXPECT_EQ(read_at(-1, 100).error(), Errc::kInvalidArgument);
}

TEST_P(RouterReads, WhatIsNotThereAnyMore) {
    TestClient& client = connect_with_writer();
    client.call<wire::DataAppended>(append(1, "0123456789"));
    client.call<wire::SegmentTruncated>(truncate(kSegment, 6));
    auto read = read_at(5, 100);
    EXPECT_EQ(read.error(), Errc::kTruncated);
    EXPECT_EQ(read.error().value(), 6);
    EXPECT_EQ(read_at(6, 100), "6789");
    EXPECT_EQ(read_at(0, 100, "scope/stream/9.#epoch.0").error(), Errc::kNotFound);
}

}  // namespace
}  // namespace millrace::store
