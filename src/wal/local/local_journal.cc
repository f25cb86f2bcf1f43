#include "wal/local/local_journal.h"

#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "base/uuid.h"
#include "wal/local/journal_core.h"
#include "wal/local/journal_recovery.h"
#include "wal/local/local_log.h"

namespace millrace::wal::local {

LocalJournal::LocalJournal(io::FileSystem& files, runtime::Executor& executor, JournalOptions options)
    : files_(files), executor_(executor), options_(std::move(options)) {}

LocalJournal::~LocalJournal() = default;

Result<RecoveryReport> LocalJournal::recover(RecoveryVisitor& visitor) {
    MILLRACE_ASSERT(core_ == nullptr);
    if (auto valid = validate(options_); !valid) return fail(valid.error());
    JournalDirectory directory(files_, options_.directory);
    auto journal = read_journal(directory, visitor);
    if (!journal) return fail(journal.error());
    auto begun = begin_epoch(directory, options_, executor_.random().uuid(), *journal);
    if (!begun) return fail(begun.error());
    log::info("journal {} in {}: {} files, {} frames with {} recovered", to_string(journal->journal),
              options_.directory, journal->live.size(), journal->report.frames, format_bytes(journal->report.bytes));
    RecoveryReport report = journal->report;
    core_ = std::make_shared<JournalCore>(files_, executor_, options_, std::move(*journal));
    executor_.post([weak = std::weak_ptr(core_)] {
        if (auto core = weak.lock()) core->start();
    });
    return report;
}

std::unique_ptr<DurableLog> LocalJournal::open(ContainerId container, runtime::Executor& executor) {
    MILLRACE_ASSERT(core_ != nullptr);
    return std::make_unique<LocalLog>(core_, container, executor);
}

void LocalJournal::close(runtime::Callback<Result<>> done) {
    MILLRACE_ASSERT(core_ != nullptr);
    executor_.post([core = core_, done = std::move(done)]() mutable { core->close(std::move(done)); });
}

LogSpace LocalJournal::space() const {
    MILLRACE_ASSERT(core_ != nullptr);
    return core_->space();
}

JournalStats LocalJournal::stats() const {
    MILLRACE_ASSERT(core_ != nullptr);
    return core_->stats();
}

Uuid LocalJournal::id() const {
    MILLRACE_ASSERT(core_ != nullptr);
    return core_->journal();
}

}  // namespace millrace::wal::local
