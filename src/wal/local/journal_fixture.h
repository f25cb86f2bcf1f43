// For tests of the local journal: one on a memory file system, with a hand on every operation.
#pragma once

#include <map>
#include <optional>

#include <gtest/gtest.h>

#include "base/log.h"
#include "io/memory_file_system.h"
#include "runtime/manual_executor.h"
#include "wal/local/frame_format.h"
#include "wal/local/local_journal.h"
#include "wal/wal_test_support.h"

namespace millrace::wal::local {

class JournalFixture : public testing::Test {
  protected:
    static constexpr ContainerId kOne{1};
    static constexpr ContainerId kTwo{2};

    struct Answer {
        Result<Appended> result;
    };

    void SetUp() override {
        log::set_level(log::Level::kOff);
        options.directory = "/journal";
        options.file_bytes = 256 * kKiB;
        options.first_file_bytes = 128 * kKiB;
        options.limit_bytes = 16 * kMiB;
        options.min_free_bytes = 0;
        options.max_write_bytes = 64 * kKiB;
        options.max_payload_bytes = 64 * kKiB;
    }
    void TearDown() override { log::set_level(log::Level::kError); }

    Result<RecoveryReport> try_start() {
        journal = std::make_unique<LocalJournal>(files, executor, options);
        recovered = {};
        return journal->recover(recovered);
    }
    void start() {
        auto report_or_error = try_start();
        ASSERT_TRUE(report_or_error.has_value()) << report_or_error.error().to_string();
        report = *report_or_error;
        executor.run_until_idle();
    }
    // As a process that ends at once: nothing is said to the journal.
    void drop() {
        logs.clear();
        journal.reset();
        executor.run_until_idle();
    }
    void close() {
        std::optional<Result<>> closed;
        journal->close([&](Result<> result) { closed = std::move(result); });
        executor.run_until_idle();
        ASSERT_TRUE(closed.has_value() && closed->has_value());
        drop();
    }

    DurableLog& log_of(ContainerId container) {
        auto& log = logs[container];
        if (log == nullptr) log = journal->open(container, executor);
        return *log;
    }
    // Answers are kept in the order of the calls; the payload's tag is 0.
    std::size_t append(ContainerId container, std::size_t size, bool reserved = false) {
        DurableLog& log = log_of(container);
        std::size_t index = answers.size();
        answers.emplace_back();
        Bytes payload = make_payload(container, log.next_sequence(), 0, size);
        log.append(make_frame(payload), reserved, [this, index](Result<Appended> result) {
            EXPECT_FALSE(answers[index].has_value()) << "answered twice";
            answers[index] = Answer{std::move(result)};
            order.push_back(index);
        });
        return index;
    }
    Appended must_append(ContainerId container, std::size_t size) {
        std::size_t index = append(container, size);
        executor.run_until_idle();
        EXPECT_TRUE(answers[index].has_value() && answers[index]->result.has_value());
        return answers[index]->result.value_or(Appended{});
    }
    bool acknowledged(std::size_t index) const { return answers[index] && answers[index]->result.has_value(); }
    bool refused(std::size_t index, Errc code) const {
        return answers[index] && !answers[index]->result && answers[index]->result.error() == code;
    }

    std::string path(std::uint64_t generation) const {
        return options.directory + "/" + file_name(Generation(generation));
    }
    std::vector<std::string> journal_files() { return *files.list(options.directory); }
    Bytes content(const std::string& name) { return *files.content(name); }
    void overwrite(const std::string& name, std::uint64_t offset, bytes::ByteSpan data) {
        auto file = files.open(name, {});
        ASSERT_TRUE(file.has_value());
        ASSERT_TRUE((*file)->write_blocking(offset, data).has_value());
        ASSERT_TRUE((*file)->sync_blocking().has_value());
    }
    std::string refusal(Errc code) {
        auto refused = try_start();
        journal.reset();
        EXPECT_FALSE(refused.has_value());
        if (refused) return "it was accepted";
        EXPECT_EQ(refused.error().code(), code) << refused.error().to_string();
        return refused.error().message();
    }

    runtime::ManualExecutor executor;
    io::MemoryFileSystem files{executor};
    JournalOptions options;
    std::unique_ptr<LocalJournal> journal;
    std::map<ContainerId, std::unique_ptr<DurableLog>> logs;
    CollectingVisitor recovered;
    RecoveryReport report;
    std::vector<std::optional<Answer>> answers;
    std::vector<std::size_t> order;
};

}  // namespace millrace::wal::local
