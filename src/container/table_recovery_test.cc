// Tables across crashes: replay, checkpoints, truncation of the log.
#include "container/table_harness.h"

namespace millrace::container {
namespace {

TEST(TableRecovery, ReplayRestoresEntriesVersionsAndLength) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    ASSERT_TRUE(h.create_table("f", 2));
    ASSERT_TRUE(h.update("t", {item("a", "1"), item("b", "2")}));
    ASSERT_TRUE(h.update("t", {removal("a"), item("c", "")}));
    ASSERT_TRUE(h.update("f", {item("k1", "1"), item("k2", "2")}));
    ASSERT_TRUE(h.update("f", {removal("k1")}));
    auto length = h.table_info("t")->length;
    h.crash();
    EXPECT_EQ(h.all("t"), "b=2@19 c=@56");
    EXPECT_EQ(h.all("f"), "k2=2@20");
    EXPECT_EQ(h.table_info("t")->length, length);
    EXPECT_EQ(h.table_info("f")->length, 40);
    EXPECT_EQ(h.table_info("f")->key_length, 2);
    EXPECT_EQ(h.update("t", {item("b", "3", 19)}), Versions{length});
}

TEST(TableRecovery, TheStateHasTheEntriesAndTheLogIsTruncated) {
    ContainerOptions options;
    options.checkpoint_log_bytes = 2000;
    TableHarness h(options);
    ASSERT_TRUE(h.create_table("t"));
    ASSERT_TRUE(h.create_table("gone"));
    ASSERT_TRUE(h.create_table("f", 2));
    ASSERT_TRUE(h.update("f", {item("k1", "kept")}));
    ASSERT_TRUE(h.update("gone", {item("k1", "lost")}));
    ASSERT_TRUE(h.remove("gone"));
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(
            h.update("t", {item("key" + std::to_string(i % 7), std::string(100, static_cast<char>('a' + i % 26)))}));
    }
    EXPECT_GT(h.disk->physically_truncated, 50u) << "records of tables hold no file back";
    std::string before = h.all("t");
    auto stats = h.container->stats();
    EXPECT_EQ(stats.table_entries, 8u);
    h.crash();
    EXPECT_EQ(h.all("t"), before);
    EXPECT_EQ(h.all("f"), "k1=kept@0");
    EXPECT_EQ(h.table_info("gone").error(), Errc::kNotFound);
    EXPECT_EQ(h.container->stats().table_entries, 8u);
}

template <typename... Record>
std::vector<std::uint8_t> payload_of(const Record&... records) {
    std::vector<std::uint8_t> payload(kPayloadHeader);
    encode_payload_header({sizeof...(records), 1}, payload.data());
    bytes::Writer out(payload);
    (encode(records, out), ...);
    return payload;
}

TEST(TableRecovery, AnUpdateThatDoesNotFollowTheOneBeforeIsDamage) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    auto id = SegmentId(1);
    auto fresh = fresh_container(h);
    ASSERT_TRUE(fresh->replay({LogSequence(1), {1, 64}}, h.disk->frames.front().payload));
    auto replayed = fresh->replay({LogSequence(2), {1, 640}},
                                  payload_of(TableUpdateRecord{id, 1, false, {{"a", "1", 0, kNotExists}}}));
    ASSERT_FALSE(replayed);
    EXPECT_EQ(replayed.error(), Errc::kCorrupt);
}

TEST(TableRecovery, DamagedRecordsAreErrorsAtEveryByte) {
    ContainerOptions options;
    options.checkpoint_log_bytes = 400;
    TableHarness h(options);
    ASSERT_TRUE(h.create_table("t"));
    ASSERT_TRUE(h.update("t", {item("a", "1"), removal("b")}));
    ASSERT_TRUE(h.update("t", {item("c", std::string(300, 'c'))}));
    ASSERT_GT(h.log->truncations.size(), 0u) << "there is a checkpoint";
    for (const auto& frame : h.disk->frames) {
        for (std::size_t cut = 0; cut < frame.payload.size(); ++cut) {
            auto fresh = fresh_container(h);
            EXPECT_FALSE(fresh->replay({LogSequence(1), {1, 64}}, bytes::ByteSpan(frame.payload.data(), cut))) << cut;
        }
        for (std::size_t at = 0; at < frame.payload.size(); ++at) {
            auto fresh = fresh_container(h);
            auto changed = frame.payload;
            changed[at] ^= 0xff;
            if (fresh->replay({LogSequence(1), {1, 64}}, changed)) (void)fresh->finish_recovery();  // but no crash
        }
    }
}

// What tables were like after each update that was taken, kept outside of the container.
struct TableModel {
    struct State {
        std::map<std::string, std::pair<std::string, std::int64_t>> entries;
        std::int64_t length = 0;
    };
    std::vector<State> states{1};
    std::size_t acknowledged = 0;  // states[acknowledged] or a later one must survive
    std::size_t removal_room = 17;

    // Whether it has to succeed; then there is a new state.
    bool take(const std::vector<TableUpdate>& updates) {
        const State& now = states.back();
        for (const TableUpdate& update : updates) {
            auto found = now.entries.find(update.key);
            std::int64_t version = found == now.entries.end() ? kNotExists : found->second.second;
            if (update.expected_version != kAnyVersion && update.expected_version != version) return false;
        }
        State next = now;
        for (const TableUpdate& update : updates) {
            if (update.value) {
                next.entries[update.key] = {*update.value, next.length};
                next.length += static_cast<std::int64_t>(17 + update.key.size() + update.value->size());
            } else {
                next.entries.erase(update.key);
                if (removal_room > 0) next.length += static_cast<std::int64_t>(removal_room + update.key.size());
            }
        }
        states.push_back(std::move(next));
        return true;
    }
    static std::string print(const State& state) {
        std::vector<TableEntry> entries;
        for (const auto& [key, cell] : state.entries) entries.push_back({key, cell.first, cell.second});
        return TableHarness::print(entries);
    }
    // The index of the state that is there, from `least` on; states.size() when it is none. Removals of absent keys
    // from tables with fixed keys leave equal states.
    std::size_t find(const std::string& all, std::int64_t length, std::size_t least) const {
        for (std::size_t i = least; i < states.size(); ++i) {
            if (states[i].length == length && print(states[i]) == all) return i;
        }
        return states.size();
    }
};

TEST(TableRecovery, RandomRunsSurviveCrashesAtEveryFrame) {
    for (std::uint64_t seed = 1; seed <= 120; ++seed) {
        SeededRandom random(seed);
        ContainerOptions options;
        options.frame_bytes = 4096 + 4096 * random.below(3);
        options.cache_bytes = 16 << 10;
        options.checkpoint_log_bytes = 1500 + random.below(10'000);
        TableHarness h(options);
        h.disk->frames_per_file = 1 + random.below(6);
        if (seed % 3 == 0) {
            h.make_state = [&h, memory = h.make_state] {
                return std::make_unique<SlowStateStore>(memory(), h.executor);
            };
        }
        h.crash();
        std::map<std::string, TableModel> models;
        models["f"].removal_room = 0;
        models["t"];
        for (int life = 0; life < 4; ++life) {
            for (auto& [name, model] : models) {
                auto created = h.create_table(name, name == "f" ? 2 : 0);
                ASSERT_TRUE(created || created.error() == Errc::kExists);
                std::string all = h.all(name);
                std::size_t there = model.find(all, h.table_info(name)->length, model.acknowledged);
                ASSERT_LT(there, model.states.size()) << "seed " << seed << ", table " << name << ": " << all;
                ASSERT_EQ(h.table_info(name)->entries, static_cast<std::int64_t>(model.states[there].entries.size()));
                TableModel::State survived = model.states[there];
                model.states.assign(1, std::move(survived));
                model.acknowledged = 0;
            }
            h.log->hold = true;
            for (int step = 0; step < 120; ++step) {
                std::string name = random.below(2) == 0 ? "t" : "f";
                TableModel& model = models[name];
                switch (random.below(8)) {
                    case 0:
                        h.log->acknowledge(1 + random.below(3));
                        break;
                    case 1: {
                        h.executor.run_until_idle();
                        std::string all = h.all(name);
                        auto length = h.table_info(name)->length;
                        ASSERT_LT(model.find(all, length, model.acknowledged), model.states.size())
                            << "seed " << seed << ": a reader sees " << all;
                        break;
                    }
                    default: {
                        std::vector<TableUpdate> updates;
                        for (std::size_t i = 0; i <= random.below(4); ++i) {
                            std::string key = "k" + std::to_string(random.below(8));
                            const auto& entries = model.states.back().entries;
                            std::int64_t version = kAnyVersion;
                            if (random.below(3) == 0) {
                                auto found = entries.find(key);
                                version = found == entries.end() ? kNotExists : found->second.second;
                                if (random.below(5) == 0) version = kNotExists;
                            }
                            if (random.below(4) == 0)
                                updates.push_back(removal(key, version));
                            else
                                updates.push_back(item(key, std::string(random.below(300), 'v'), version));
                        }
                        bool fits = model.take(updates);
                        std::size_t state = model.states.size() - 1;
                        h.container->tables().update(name, {updates, kAnyTableLength},
                                                     [&model, fits, state, seed](const Result<Versions>& result) {
                                                         EXPECT_EQ(result.has_value(), fits) << "seed " << seed;
                                                         if (result)
                                                             model.acknowledged = std::max(model.acknowledged, state);
                                                     });
                    }
                }
                if (random.below(4) == 0) h.executor.run_until_idle();
            }
            h.crash(random.below(4));
            if (::testing::Test::HasFailure()) FAIL() << "seed " << seed;
        }
    }
}

}  // namespace
}  // namespace millrace::container
