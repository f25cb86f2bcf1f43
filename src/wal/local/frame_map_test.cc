#include "wal/local/frame_map.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::wal::local {
namespace {

TEST(FrameMap, KnowsNothingWhenEmpty) {
    FrameMap map;
    EXPECT_EQ(map.frame_of(1 << 20), 0u);
    EXPECT_EQ(map.frame_behind(0, 12'345), 12'345u);
}

TEST(FrameMap, FindsTheFrameOfEveryByteAndTheOneBehindIt) {
    // Neighbours, the ends of a word, and a frame of several words.
    const std::vector<std::uint64_t> pages = {1, 2, 3, 63, 64, 127, 128, 500, 501, 16'383};
    FrameMap map;
    for (std::uint64_t page : pages) map.mark(page * kPage);
    for (std::uint64_t page = 0; page < 17'000; ++page) {
        auto behind = std::upper_bound(pages.begin(), pages.end(), page);
        std::uint64_t begin = behind == pages.begin() ? 0 : *std::prev(behind) * kPage;
        std::uint64_t next = behind == pages.end() ? 20'000 * kPage : *behind * kPage;
        for (std::uint64_t inner : {std::uint64_t{0}, std::uint64_t{17}, kPage - 1}) {
            ASSERT_EQ(map.frame_of(page * kPage + inner), begin) << page;
            ASSERT_EQ(map.frame_behind(page * kPage + inner, 20'000 * kPage), next) << page;
        }
    }
    EXPECT_EQ(map.frame_behind(3 * kPage, 10 * kPage), 10 * kPage) << "what is behind the limit is not there yet";
}

}  // namespace
}  // namespace millrace::wal::local
