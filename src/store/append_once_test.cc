// Appends by the server itself, through the router, to containers on this core and on another one.
#include "store/append_once.h"

#include <optional>

#include <gtest/gtest.h>

#include "store/store_harness.h"

namespace millrace::store {
namespace {

struct AppendOnce : StoreFixture {
    Result<std::int64_t> append_at(std::int64_t offset, const std::string& event, const std::string& to = kSegment) {
        std::optional<Result<std::int64_t>> result;
        auto done = [&](Result<std::int64_t> r) { result = std::move(r); };
        h().router->append_at(to, offset, event, h().loop, done);
        EXPECT_FALSE(result) << "never inside the call";
        h().run();
        return result ? std::move(*result) : fail(Errc::kClosed, "no answer");
    }
};

INSTANTIATE_TEST_SUITE_P(Cores, AppendOnce, testing::Bool());

TEST_P(AppendOnce, OneAfterTheOtherAtTheEndOnly) {
    TestClient& client = h().connect();
    client.call<wire::SegmentCreated>(create(kSegment));
    EXPECT_EQ(append_at(0, "first"), 5);
    EXPECT_EQ(append_at(5, "second"), 11);
    EXPECT_EQ(append_at(5, "again").error(), Errc::kBadOffset);
    EXPECT_EQ(append_at(12, "beyond").error(), Errc::kBadOffset);
    EXPECT_EQ(append_at(11, "third"), 16);
    auto got = client.call<wire::SegmentRead>(read(kSegment, 0, 100));
    EXPECT_EQ(text(got.data), "firstsecondthird");
}

TEST_P(AppendOnce, BesideAClientThatWrites) {
    TestClient& client = h().connect();
    client.call<wire::SegmentCreated>(create(kSegment));
    client.call<wire::AppendSetup>(setup(kSegment));
    client.call<wire::DataAppended>(append(1, "theirs"));
    EXPECT_EQ(append_at(6, "ours"), 10);
    client.call<wire::DataAppended>(append(2, "theirs"));
    EXPECT_EQ(append_at(10, "ours").error(), Errc::kBadOffset);
    EXPECT_EQ(append_at(16, "ours"), 20);
}

TEST_P(AppendOnce, SegmentsThatTakeNothing) {
    TestClient& client = h().connect();
    EXPECT_EQ(append_at(0, "x", "scope/stream/9.#epoch.0").error(), Errc::kNotFound);
    client.call<wire::SegmentCreated>(create(kSegment));
    client.call<wire::SegmentSealed>(seal(kSegment));
    EXPECT_EQ(append_at(0, "x").error(), Errc::kSealed);
}

}  // namespace
}  // namespace millrace::store
