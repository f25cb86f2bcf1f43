// What every StateStore does: on RocksDB and in memory.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "container/state/manifest_record.h"
#include "container/state/memory_state_store.h"
#include "container/state/store_harness.h"

namespace millrace::container::state {
namespace {

using testing::ElementsAre;

class StateStoreContract : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override { open(); }
    void TearDown() override {
        if (store_) thread_.close(store_);
    }
    void open() {
        if (GetParam() == std::string_view("memory")) {
            thread_.run([this] { store_ = std::make_unique<MemoryStateStore>(disk_, thread_.loop()); });
            return;
        }
        DatabaseOptions options{directory_.path() + "/state", ContainerId(7), 256 * kKiB, 50};
        thread_.run([&] {
            auto opened = open_rocksdb_state(options, resources_, thread_.pool(), thread_.loop());
            ASSERT_TRUE(opened) << opened.error().to_string();
            store_ = std::move(*opened);
        });
        ASSERT_TRUE(store_);
    }
    // What was not flushed is gone.
    void reopen() {
        thread_.close(store_);
        open();
    }
    void put(std::uint64_t sequence, std::vector<std::pair<std::string, std::string>> entries) {
        StateBatch batch;
        for (auto& [key, value] : entries) batch.put(key, value);
        ASSERT_TRUE(thread_.apply(*store_, std::move(batch), LogSequence(sequence)));
    }
    std::string value_of(const std::string& key) {
        auto got = thread_.get(*store_, key);
        if (!got) return got.error().to_string();
        return got->value.value_or("(none)");
    }
    std::vector<std::string> keys_of(ScanRequest request, std::optional<KeyRange>* rest = nullptr) {
        auto page = thread_.scan(*store_, std::move(request));
        std::vector<std::string> keys;
        if (!page) return {page.error().to_string()};
        for (auto& [key, value] : page->entries) keys.push_back(key);
        if (rest != nullptr) *rest = page->rest;
        return keys;
    }

    ScratchDirectory directory_;
    std::shared_ptr<MemoryStateDisk> disk_ = std::make_shared<MemoryStateDisk>();
    std::shared_ptr<StateResources> resources_ = std::make_shared<StateResources>();
    StoreThread thread_;
    std::unique_ptr<StateStore> store_;
};

TEST_P(StateStoreContract, EmptyWhenItIsNew) {
    EXPECT_EQ(store_->applied(), LogSequence(0));
    EXPECT_EQ(value_of("a"), "(none)");
    EXPECT_THAT(keys_of({kContainersKeys}), ElementsAre());
    reopen();
    EXPECT_EQ(store_->applied(), LogSequence(0));
}

TEST_P(StateStoreContract, ShowsWhatWasApplied) {
    put(3, {{"a", "1"}, {"b", ""}});
    put(5, {{"a", "2"}});
    EXPECT_EQ(value_of("a"), "2");
    EXPECT_EQ(value_of("b"), "");
    auto found = thread_.multi_get(*store_, {"b", "x", "a", "a"});
    ASSERT_TRUE(found);
    EXPECT_THAT(found->values, ElementsAre("", std::nullopt, "2", "2"));
    EXPECT_EQ(found->includes, LogSequence(5));
    StateStats stats = thread_.stats(*store_);
    EXPECT_EQ(stats.applied, LogSequence(5));
    EXPECT_EQ(stats.queued_batches, 0u);
    EXPECT_EQ(stats.queued_bytes, 0u);
    EXPECT_FALSE(stats.trouble);
}

TEST_P(StateStoreContract, LaterChangesOfABatchWin) {
    put(1, {{"k1", "old"}, {"k2", "old"}, {"k5", "old"}});
    StateBatch batch;
    batch.put("k1", "new");
    batch.remove("k1");
    batch.put("k3", "in the range, before it");
    batch.remove_range({"k2", "k5"});
    batch.put("k4", "in the range, behind it");
    ASSERT_TRUE(thread_.apply(*store_, std::move(batch), LogSequence(2)));
    EXPECT_THAT(keys_of({kContainersKeys}), ElementsAre("k4", "k5"));
}

TEST_P(StateStoreContract, RemovesSmallAndLargeRanges) {
    std::vector<std::pair<std::string, std::string>> many;
    for (int i = 0; i < 1000; ++i) many.emplace_back(fmt::format("m{:04}", i), "x");
    put(1, many);
    StateBatch batch;
    batch.remove_range({"m0003", "m0010"});
    batch.remove_range({"m0020", "m0999"});
    batch.remove_range({"n", "o"});
    ASSERT_TRUE(thread_.apply(*store_, std::move(batch), LogSequence(2)));
    auto keys = keys_of({kContainersKeys});
    EXPECT_EQ(keys.size(), 3u + 10u + 1u);
    EXPECT_EQ(keys.back(), "m0999");
    ASSERT_TRUE(thread_.flush(*store_));
    reopen();
    EXPECT_EQ(keys_of({kContainersKeys}), keys);
}

TEST_P(StateStoreContract, ScansInPages) {
    put(1, {{"a", "1"}, {"b", "22"}, {"c", "333"}, {"d", "4444"}, {"e", "5"}});
    std::optional<KeyRange> rest;
    EXPECT_THAT(keys_of({{"b", "e"}, 2}, &rest), ElementsAre("b", "c"));
    ASSERT_TRUE(rest);
    EXPECT_THAT(keys_of({*rest, 2}, &rest), ElementsAre("d"));
    EXPECT_FALSE(rest);
    EXPECT_THAT(keys_of({{"b", "e"}, 2, 1 << 20, true}, &rest), ElementsAre("d", "c"));
    ASSERT_TRUE(rest);
    EXPECT_THAT(keys_of({*rest, 2, 1 << 20, true}, &rest), ElementsAre("b"));
    EXPECT_FALSE(rest);
    EXPECT_THAT(keys_of({{"a", ""}, 3, 1 << 20, true}, &rest), ElementsAre("e", "d", "c"));
    EXPECT_THAT(keys_of({{"a", ""}, 100, 5}, &rest), ElementsAre("a", "b")) << "2 + 3 bytes are enough";
    EXPECT_EQ(rest->begin, std::string("b\0", 2));
    EXPECT_THAT(keys_of({{"d", ""}, 100, 0}, &rest), ElementsAre("d")) << "one at least";
    EXPECT_THAT(keys_of({{"c", "c"}}, &rest), ElementsAre());
    EXPECT_THAT(keys_of({{"d", "b"}}, &rest), ElementsAre());
    EXPECT_FALSE(rest);
    EXPECT_THAT(keys_of({{"e", "f"}, 1}, &rest), ElementsAre("e"));
    EXPECT_FALSE(rest) << "exactly full, and nothing behind it";
}

TEST_P(StateStoreContract, FindsTheEntryThatHoldsAnOffset) {
    StateBatch batch;
    for (std::uint64_t i = 0; i < 4; ++i) {
        batch.put(ManifestRecord{SegmentId(2), i * 100, 100, ObjectId(1 + i), 0, ObjectKind::kChunk});
        batch.put(ManifestRecord{SegmentId(3), i * 100, 100, ObjectId(10 + i), 0, ObjectKind::kChunk});
    }
    ASSERT_TRUE(thread_.apply(*store_, std::move(batch), LogSequence(1)));
    for (std::uint64_t offset : {0, 99, 100, 250, 399}) {
        auto page = thread_.scan(*store_, {ManifestRecord::range(SegmentId(3), 0, offset + 1), 1, 1 << 20, true});
        ASSERT_TRUE(page && page->entries.size() == 1);
        auto record = ManifestRecord::decode(page->entries[0].first, page->entries[0].second);
        ASSERT_TRUE(record);
        EXPECT_EQ(record->object, ObjectId(10 + offset / 100));
    }
}

TEST_P(StateStoreContract, KeepsWhatWasFlushed) {
    put(1, {{"a", "1"}});
    auto flushed = thread_.flush(*store_);
    ASSERT_TRUE(flushed) << flushed.error().to_string();
    EXPECT_EQ(*flushed, LogSequence(1));
    put(2, {{"a", "2"}, {"b", "2"}});
    reopen();
    EXPECT_EQ(store_->applied(), LogSequence(1));
    EXPECT_EQ(value_of("a"), "1");
    EXPECT_EQ(value_of("b"), "(none)");
    put(2, {});
    EXPECT_EQ(*thread_.flush(*store_), LogSequence(2));
    EXPECT_EQ(*thread_.flush(*store_), LogSequence(2)) << "with nothing new";
    reopen();
    EXPECT_EQ(store_->applied(), LogSequence(2)) << "an empty batch moves the sequence";
    EXPECT_EQ(thread_.stats(*store_).flushed, LogSequence(2));
}

TEST_P(StateStoreContract, AnswersInOrderAndNeverWithinTheCall) {
    std::vector<std::string> order;
    thread_.wait<bool>([&](runtime::Callback<bool> done) {
        for (std::uint64_t i = 1; i <= 5; ++i) {
            StateBatch batch;
            batch.put("a", std::to_string(i));
            store_->apply(std::move(batch), LogSequence(i), [&order, i](Result<> result) {
                order.push_back(result ? std::to_string(i) : result.error().to_string());
            });
            if (i == 3) {
                store_->flush([&order](Result<LogSequence> result) {
                    order.push_back(result && *result >= LogSequence(3) ? "flush" : "bad flush");
                });
            }
        }
        store_->flush([&, done = std::move(done)](Result<LogSequence> result) mutable {
            order.push_back(result && *result == LogSequence(5) ? "last" : "bad flush");
            done(true);
        });
        EXPECT_TRUE(order.empty());
    });
    EXPECT_EQ(order.back(), "last");
    auto place = [&](const char* what) { return std::find(order.begin(), order.end(), what) - order.begin(); };
    EXPECT_GT(place("flush"), place("3"));
    std::erase(order, "flush");
    EXPECT_THAT(order, ElementsAre("1", "2", "3", "4", "5", "last"));
}

TEST_P(StateStoreContract, EqualsTheModelAfterEveryReopening) {
    constexpr std::uint64_t kSeed = 5;
    SeededRandom random(kSeed);
    StateModel model;
    LogSequence modelled;
    LogSequence flushed;
    for (int life = 0; life < 12; ++life) {
        for (LogSequence next = store_->applied().next(); random.below(40) != 0; next = next.next()) {
            ASSERT_TRUE(thread_.apply(*store_, random_batch(kSeed, next), next));
            if (random.below(15) == 0) {
                auto result = thread_.flush(*store_);
                ASSERT_TRUE(result);
                flushed = *result;
            }
        }
        reopen();
        LogSequence applied = store_->applied();
        ASSERT_GE(applied, flushed);
        while (modelled < applied) model.apply(random_batch(kSeed, modelled = modelled.next()));
        auto found = contents(*store_);
        ASSERT_TRUE(found) << found.error().to_string();
        ASSERT_TRUE(*found == model.entries) << "life " << life << ", at " << applied.value();
    }
    EXPECT_GT(modelled.value(), 20u);
}

TEST_P(StateStoreContract, LoadEndsWithTheErrorOfItsVisitor) {
    put(1, {{"a", "1"}, {"b", "2"}});
    int seen = 0;
    auto loaded = store_->load({"a", ""}, [&](std::string_view, std::string_view) -> Result<> {
        ++seen;
        return fail(Errc::kLimit, "enough");
    });
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error(), Errc::kLimit);
    EXPECT_EQ(seen, 1);
}

TEST_P(StateStoreContract, RefusesCallsBehindItsClose) {
    std::vector<std::string> answers;
    thread_.wait<bool>([&](runtime::Callback<bool> done) {
        store_->close([&, done = std::move(done)]() mutable {
            auto note = [&](const auto& result) { answers.push_back(result ? "ok" : result.error().to_string()); };
            store_->apply({}, LogSequence(1), note);
            store_->flush(note);
            store_->get("a", note);
            store_->multi_get({"a"}, note);
            store_->scan({kContainersKeys}, [&, note, done = std::move(done)](Result<ScanPage> page) mutable {
                note(page);
                thread_.loop().defer([done = std::move(done)]() mutable { done(true); });
            });
        });
    });
    EXPECT_THAT(answers, testing::UnorderedElementsAre("closed", "closed", "closed", "closed", "closed"));
    thread_.run([this] { store_.reset(); });
}

TEST_P(StateStoreContract, ForgetsItsCallersWhenItIsDestroyed) {
    bool called = false;
    thread_.run([&] {
        store_->apply({}, LogSequence(1), [&](Result<>) { called = true; });
        store_->get("a", [&](Result<StateValue>) { called = true; });
        store_.reset();
    });
    thread_.pool().stop();
    thread_.run([] {});
    EXPECT_FALSE(called);
}

INSTANTIATE_TEST_SUITE_P(Stores, StateStoreContract, testing::Values("memory", "rocksdb"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace millrace::container::state
