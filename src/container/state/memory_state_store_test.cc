// The test's side of the store in memory; what it shares with RocksDB is in state_store_test.cc.
#include "container/state/memory_state_store.h"

#include <gtest/gtest.h>

#include "runtime/manual_executor.h"

namespace millrace::container::state {
namespace {

class MemoryStore : public testing::Test {
  protected:
    void apply(std::uint64_t sequence, std::string_view key, std::string_view value) {
        StateBatch batch;
        batch.put(key, value);
        store_.apply(std::move(batch), LogSequence(sequence), [this](Result<> result) { note(result); });
    }
    void flush() {
        store_.flush([this](Result<LogSequence> result) { note(result); });
    }
    template <typename T>
    void note(const Result<T>& result) {
        answers_.push_back(result ? "ok" : std::string(to_string(result.error().code())));
    }

    runtime::ManualExecutor executor_;
    std::shared_ptr<MemoryStateDisk> disk_ = std::make_shared<MemoryStateDisk>();
    MemoryStateStore store_{disk_, executor_};
    std::vector<std::string> answers_;
};

TEST_F(MemoryStore, ACrashDropsWhatWasNotFlushedAndWhoWaits) {
    apply(1, "a", "1");
    flush();
    executor_.run_until_idle();
    EXPECT_EQ(answers_.size(), 2u);
    apply(2, "a", "2");
    flush();
    store_.crash();
    executor_.run_until_idle();
    EXPECT_EQ(answers_.size(), 2u) << "nobody was told";
    EXPECT_EQ(store_.applied(), LogSequence(1));
    EXPECT_EQ(disk_->entries["a"], "1");
}

TEST_F(MemoryStore, AFlushTakesWhatWasAppliedBeforeIt) {
    apply(1, "a", "1");
    flush();
    apply(2, "a", "2");
    executor_.run_until_idle();
    EXPECT_EQ(disk_->entries["a"], "1");
    EXPECT_EQ(disk_->applied, LogSequence(1));
    EXPECT_EQ(store_.stats().applied, LogSequence(2));
}

TEST_F(MemoryStore, FailsAsItIsTold) {
    apply(1, "a", "1");
    flush();
    executor_.run_until_idle();
    store_.fail_next_apply(Error(Errc::kIo));
    apply(2, "a", "2");
    apply(3, "a", "3");
    executor_.run_until_idle();
    EXPECT_EQ(answers_, (std::vector<std::string>{"ok", "ok", "I/O error", "I/O error"}))
        << "nothing is applied behind a hole";
    EXPECT_EQ(store_.applied(), LogSequence(1));
    EXPECT_TRUE(store_.stats().trouble);
    flush();
    executor_.run_until_idle();
    EXPECT_EQ(answers_[4], "I/O error");
}

TEST_F(MemoryStore, AFlushThatFailsFailsIt) {
    store_.fail_flushes(Error(Errc::kNoSpace));
    apply(1, "a", "1");
    flush();
    executor_.run_until_idle();
    store_.fail_flushes({});
    flush();
    apply(2, "a", "2");
    executor_.run_until_idle();
    EXPECT_EQ(answers_, (std::vector<std::string>{"ok", "no space", "no space", "no space"}));
    EXPECT_EQ(disk_->applied, LogSequence(0));
}

}  // namespace
}  // namespace millrace::container::state
