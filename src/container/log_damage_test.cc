// Frames of the log that cannot be read back any more: never served, never moved, and nothing else waits for them.
#include <algorithm>

#include <gmock/gmock.h>

#include "container/tiering_harness.h"

namespace millrace::container {
namespace {

using std::chrono::milliseconds;

class LogDamage : public Tier {
  protected:
    // Nothing is moved yet, and memory has next to nothing of it.
    LogDamage() : h(options(), objects) {
        objects->down = true;
        for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(h.create(name));
        for (int i = 0; i < 10; ++i) {
            for (const char* name : {"a", "b"}) write(h, name, 1, 500);
        }
        write(h, "c", 10, 600);
    }
    static ContainerOptions options() {
        ContainerOptions options = small_tier();
        options.cache_bytes = 4 << 10;
        options.frame_bytes = 4 << 10;
        options.checkpoint_log_bytes = 4000;
        return options;
    }
    void damage(const std::string& segment, std::size_t offset) {
        std::string bytes = model[segment].substr(offset / 500 * 500, 500);
        auto holds = [&](const MemoryLogDisk::Stored& frame) {
            return std::ranges::search(frame.payload, bytes).begin() != frame.payload.end();
        };
        auto found = std::ranges::find_if(h.disk->frames, holds);
        ASSERT_NE(found, h.disk->frames.end());
        h.disk->damaged.insert(found->where.sequence.value());
    }
    void move() {
        objects->down = false;
        for (int i = 0; i < 100; ++i) h.executor.advance(milliseconds(1000));
    }
    // Every byte of the segment but those of the damaged appends, each of 500 bytes.
    void expect_all_but(const std::string& segment, std::vector<std::size_t> damaged) {
        const std::string& text = model[segment];
        for (std::size_t at = 0; at < text.size();) {
            auto read = h.read(segment, static_cast<std::int64_t>(at));
            ASSERT_TRUE(read);
            bool bad = std::ranges::find(damaged, at / 500) != damaged.end();
            if (bad) {
                ASSERT_FALSE(*read) << segment << " at " << at << ": damaged bytes were served";
                EXPECT_EQ(read->error().code(), Errc::kCorrupt);
                at = (at / 500 + 1) * 500;
                continue;
            }
            ASSERT_TRUE(*read) << segment << " at " << at << ": " << read->error().to_string();
            std::vector<std::uint8_t> data = (*read)->data.to_vector();
            ASSERT_FALSE(data.empty());
            ASSERT_EQ(std::string(data.begin(), data.end()), text.substr(at, data.size())) << segment << " at " << at;
            at += data.size();
        }
    }
    bool in_storage(const std::string& bytes) const {
        return std::ranges::any_of(objects->objects, [&](const auto& object) {
            return std::ranges::search(object.second, bytes).begin() != object.second.end();
        });
    }

    Harness h;
};

TEST_F(LogDamage, IsServedToNobody) {
    damage("a", 0);
    damage("a", 2500);
    damage("a", 3000);
    expect_all_but("a", {0, 5, 6});
    expect_all_but("b", {});
    expect_all_but("c", {});
}

TEST_F(LogDamage, StaysInTheLogWhileAllElseMoves) {
    damage("a", 2500);
    std::string bytes = model["a"].substr(2500, 500);
    move();
    TieringStats stats = h.container->stats().tiering;
    EXPECT_FALSE(stats.trouble) << *stats.trouble;
    EXPECT_EQ(stats.log_only_bytes, 0u) << "all that can move has moved";
    EXPECT_FALSE(in_storage(bytes));
    EXPECT_TRUE(in_storage(model["a"].substr(2000, 500)));
    EXPECT_TRUE(in_storage(model["a"].substr(3000, 500)));
    expect_all_but("a", {5});
    expect_all_but("b", {});
    expect_all_but("c", {});
    // What comes later moves as ever, and no round looks at the damage again.
    write(h, "a", 3, 500);
    move();
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    std::uint64_t rounds = h.container->stats().tiering.rounds;
    std::uint64_t reads = h.log->reads;
    move();
    EXPECT_EQ(h.container->stats().tiering.rounds, rounds);
    EXPECT_EQ(h.log->reads, reads);
    expect_all_but("a", {5});
}

TEST_F(LogDamage, GoesWithTheBytesThatAreTruncated) {
    damage("a", 2500);
    move();
    ASSERT_TRUE(h.truncate("a", 3000));
    write(h, "a", 20, 500);
    move();
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    expect_all(h);
    for (const auto& frame : h.disk->frames) EXPECT_FALSE(h.disk->damaged.contains(frame.where.sequence.value()));
}

TEST_F(LogDamage, OfMergedBytesStaysWithThem) {
    damage("a", 2500);
    move();
    ASSERT_TRUE(h.seal("a"));
    std::size_t base = model["c"].size();
    ASSERT_TRUE(h.merge("c", "a"));
    model["c"] += std::exchange(model["a"], "");
    move();
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    expect_all_but("c", {(base + 2500) / 500});
    ASSERT_TRUE(h.remove("c"));
    move();
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
}

}  // namespace
}  // namespace millrace::container
