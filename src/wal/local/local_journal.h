// LocalJournal keeps the contract of durable_log.h on files of one directory, shared by all containers of a node. The
// format is docs/formats/journal.md.
//
// Life cycle: made, recover() once (blocking, any one thread, before the containers run), open() once for each
// container, close(). Thread rule: after recover(), the journal lives on `executor`, which must be the one of `files`;
// open() and close() may be called from any thread, logs may live on other executors. Destroyed on `executor`, or when
// that does not run. FileSystem and executors outlive the journal and its logs. Durability: an acknowledged frame is on
// stable storage with all frames before it, of all containers. A failed write is final for all of them. What was in
// flight at a crash may be there or not, but never with a gap before it.
#pragma once

#include <memory>

#include "io/file.h"
#include "runtime/executor.h"
#include "wal/durable_log.h"
#include "wal/local/journal_options.h"
#include "wal/local/journal_stats.h"

namespace millrace::wal::local {

class JournalCore;

class LocalJournal final : public DurableLogProvider {
  public:
    LocalJournal(io::FileSystem& files, runtime::Executor& executor, JournalOptions options);
    ~LocalJournal() override;

    Result<RecoveryReport> recover(RecoveryVisitor& visitor) override;
    std::unique_ptr<DurableLog> open(ContainerId container, runtime::Executor& executor) override;
    void close(runtime::Callback<Result<>> done) override;  // `done` runs on the journal's executor

    // After recover(): the random id that a journal gets when its first file is made. An empty directory gets a new
    // one; whoever knows which journal should be there compares.
    Uuid id() const;

    LogSpace space() const;      // after recover(), from any thread
    JournalStats stats() const;  // the same

  private:
    io::FileSystem& files_;
    runtime::Executor& executor_;
    const JournalOptions options_;
    std::shared_ptr<JournalCore> core_;
};

}  // namespace millrace::wal::local
