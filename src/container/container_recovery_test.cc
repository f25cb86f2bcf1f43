#include <map>

#include "container/container_harness.h"
#include "container/operation.h"

namespace millrace::container {
namespace {

TEST(Recovery, CheckpointsLetTheLogBeTruncated) {
    ContainerOptions options;
    options.checkpoint_log_bytes = 2000;
    Harness h(options);
    ASSERT_TRUE(h.create("keep"));
    ASSERT_TRUE(h.create("drop"));
    ASSERT_TRUE(h.table("meta", {{"k", "v", kAnyVersion}}));
    AppendSession& keep = h.session("keep", 1);
    AppendSession& drop = h.session("drop", 2);
    ASSERT_TRUE(h.setup(keep));
    ASSERT_TRUE(h.setup(drop));
    std::int64_t number = 0;
    for (int round = 0; round < 60; ++round) {
        h.append(drop, ++number, std::string(100, 'd'));
        h.executor.run_until_idle();
        ASSERT_TRUE(h.truncate("drop", h.info("drop")->length));
    }
    h.append(keep, 5, "kept");
    h.executor.run_until_idle();
    EXPECT_GT(h.disk->physically_truncated, 20u);
    h.crash();
    EXPECT_EQ(h.text("keep"), "kept");
    EXPECT_EQ(h.info("drop")->start_offset, 6000);
    EXPECT_EQ(h.attribute("drop", Uuid{1, 2}), number);
    EXPECT_EQ(h.attribute("drop", kEventCount), 60);
    EXPECT_EQ(h.container->table_get("meta", "k")->value, "v");
    AppendSession& again = h.session("keep", 1);
    EXPECT_EQ(h.setup(again), 5);
}

TEST(Recovery, TheStateHoldsAnyNumberOfAttributes) {
    constexpr std::uint64_t kMany = 20'000;
    ContainerOptions options;
    options.checkpoint_log_bytes = 2000;
    Harness h(options);
    ASSERT_TRUE(h.create("a"));
    for (std::uint64_t from = 0; from < kMany; from += 1000) {
        std::vector<AttributeUpdate> updates;
        for (std::uint64_t i = from; i < from + 1000; ++i) {
            updates.push_back({Uuid{7, i}, AttributeUpdateType::kReplace, static_cast<std::int64_t>(i), 0});
        }
        ASSERT_TRUE(h.attributes("a", updates));
    }
    ASSERT_GT(h.disk->physically_truncated, 0u);
    h.crash();
    for (std::uint64_t i = 0; i < kMany; i += 99) {
        ASSERT_EQ(h.attribute("a", Uuid{7, i}), static_cast<std::int64_t>(i));
    }
    EXPECT_EQ(h.attribute("a", kSegmentType), 0);
}

TEST(Recovery, LivingBytesAreCarriedForwardWhenTheLogAsks) {
    Harness h;
    ASSERT_TRUE(h.create("old"));
    ASSERT_TRUE(h.create("new"));
    AppendSession& old = h.session("old", 1);
    AppendSession& fresh = h.session("new", 1);
    ASSERT_TRUE(h.setup(old));
    ASSERT_TRUE(h.setup(fresh));
    h.append(old, 1, "precious");
    h.executor.run_until_idle();
    for (int i = 1; i <= 40; ++i) {
        h.append(fresh, i, std::string(100, 'n'));
        h.executor.run_until_idle();
    }
    ASSERT_TRUE(h.truncate("new", 4000));
    LogSequence wanted = h.log->next_sequence();
    h.log->set_full(false, wanted);
    h.executor.run_until_idle();
    EXPECT_GT(h.disk->physically_truncated, 20u);
    EXPECT_EQ(h.text("old"), "precious");
    h.crash();
    EXPECT_EQ(h.text("old"), "precious");
    EXPECT_EQ(h.info("new")->length, 4000);
}

TEST(Recovery, ALogThatBeginsBehindTheStateIsRefused) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    ASSERT_TRUE(h.create("b"));
    auto other = fresh_container(h);
    ASSERT_TRUE(other->load());
    auto replayed = other->replay(h.disk->frames.back().where, h.disk->frames.back().payload);
    ASSERT_FALSE(replayed);
    EXPECT_EQ(replayed.error(), Errc::kCorrupt);
}

TEST(Recovery, AStateThatIsNewerThanTheLogIsRefused) {
    ContainerOptions options;
    options.checkpoint_log_bytes = 1;
    Harness h(options);
    ASSERT_TRUE(h.create("a"));
    ASSERT_TRUE(h.create("b"));
    ASSERT_GT(h.state_disk->applied.value(), 1u);
    auto behind = [&](const std::deque<MemoryLogDisk::Stored>& frames) -> Result<> {
        SegmentContainer container(ContainerId(0), h.executor, options,
                                   std::make_unique<state::MemoryStateStore>(h.state_disk, h.executor));
        if (auto loaded = container.load(); !loaded) return loaded;
        for (const auto& frame : frames) {
            if (auto replayed = container.replay(frame.where, frame.payload); !replayed) return replayed;
        }
        return container.finish_recovery();
    };
    EXPECT_TRUE(behind({}));  // all of it may be truncated; then the log's next sequence decides
    auto frames = h.disk->frames;
    while (!frames.empty() && frames.back().where.sequence >= h.state_disk->applied) frames.pop_back();
    if (!frames.empty()) EXPECT_EQ(behind(frames).error(), Errc::kCorrupt);
    h.disk->frames.clear();
    h.disk->next = 1;
    h.container.reset();
    h.executor.drop_all();
    h.boot();
    ASSERT_TRUE(h.failure) << "the log is new, the state is not";
    EXPECT_EQ(*h.failure, Errc::kCorrupt);
}

TEST(Recovery, DamagedRecordsAreErrorsAtEveryByte) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    h.append(w, 1, "data");
    ASSERT_TRUE(h.table("t", {{"k", "v", kAnyVersion}}));
    ASSERT_TRUE(h.attributes("a", {{Uuid{1, 1}, AttributeUpdateType::kReplace, 1, 0}}));
    for (const auto& frame : h.disk->frames) {
        for (std::size_t cut = 0; cut < frame.payload.size(); ++cut) {
            auto fresh = fresh_container(h);
            bytes::ByteSpan part(frame.payload.data(), cut);
            EXPECT_FALSE(fresh->replay({LogSequence(1), {1, 64}}, part)) << cut;
        }
        for (std::size_t at = 0; at < frame.payload.size(); ++at) {
            auto fresh = fresh_container(h);
            auto changed = frame.payload;
            changed[at] ^= 0xff;
            (void)fresh->replay({LogSequence(1), {1, 64}}, changed);  // any answer, but no crash
        }
    }
}

// A model of what clients were told, kept outside of the container.
struct Model {
    std::map<std::string, std::string> acknowledged;  // segment -> bytes acknowledged
    std::map<std::string, std::string> submitted;     // segment -> bytes submitted, acknowledged or not
};

TEST(Recovery, RandomRunsSurviveCrashesAtEveryFrame) {
    for (std::uint64_t seed = 1; seed <= 150; ++seed) {
        SeededRandom random(seed);
        ContainerOptions options;
        options.frame_bytes = 4096 + 4096 * random.below(3);
        options.cache_bytes = 16 << 10;
        options.checkpoint_log_bytes = 3000 + random.below(20'000);
        Harness h(options);
        h.disk->frames_per_file = 1 + random.below(6);
        Model model;
        std::map<std::string, std::int64_t> numbers;
        std::vector<std::string> names{"a", "b", "c"};
        for (int life = 0; life < 4; ++life) {
            std::map<std::string, AppendSession*> writers;
            for (const std::string& name : names) {
                auto created = h.create(name);
                ASSERT_TRUE(created || created.error() == Errc::kExists);
                writers[name] = &h.session(name, 1);
                auto last = h.setup(*writers[name]);
                ASSERT_TRUE(last);
                // What was told is there; what is there was submitted.
                std::string now = h.text(name, h.info(name)->start_offset);
                std::string full = model.submitted[name];
                auto start = static_cast<std::size_t>(h.info(name)->start_offset);
                ASSERT_GE(start + now.size(), model.acknowledged[name].size()) << "seed " << seed << ": lost";
                ASSERT_EQ(now, full.substr(start, now.size())) << "seed " << seed << ": reordered or invented";
                model.submitted[name] = full.substr(0, start + now.size());
                model.acknowledged[name] = model.submitted[name];
                numbers[name] = *last == kNullAttribute ? 0 : *last;
                ASSERT_EQ(static_cast<std::size_t>(numbers[name]), model.submitted[name].size()) << "seed " << seed;
            }
            h.sink.all.clear();
            h.log->hold = true;
            for (int step = 0; step < 120; ++step) {
                const std::string& name = names[random.below(names.size())];
                switch (random.below(8)) {
                    case 0:
                        h.log->acknowledge(1 + random.below(3));
                        break;
                    case 1:
                        h.executor.run_until_idle();
                        break;
                    case 2: {
                        auto info = h.info(name);
                        auto at = info->start_offset +
                                  static_cast<std::int64_t>(
                                      random.below(static_cast<std::uint64_t>(info->length - info->start_offset + 1)));
                        h.container->truncate(name, at, [](Result<>) {});
                        break;
                    }
                    default: {
                        std::string data(1 + random.below(900), static_cast<char>('a' + random.below(26)));
                        // The event number is the length so far: it tells how much the writer has stored.
                        model.submitted[name] += data;
                        numbers[name] += static_cast<std::int64_t>(data.size());
                        h.append(*writers[name], numbers[name], data);
                    }
                }
                if (random.below(4) == 0) h.executor.run_until_idle();
                for (const AppendOutcome& outcome : h.sink.all) {
                    ASSERT_EQ(outcome.status, AppendStatus::kAppended);
                    auto size = static_cast<std::size_t>(outcome.end_offset);
                    const std::string& told = outcome.session->segment_name;
                    if (size > model.acknowledged[told].size())
                        model.acknowledged[told] = model.submitted[told].substr(0, size);
                }
                h.sink.all.clear();
            }
            h.crash(random.below(4));
            if (::testing::Test::HasFatalFailure()) FAIL() << "seed " << seed;
        }
    }
}

}  // namespace
}  // namespace millrace::container
