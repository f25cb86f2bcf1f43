// LocalLog: one container's view of the local journal. Its executor may be the journal's own (calls go straight
// through) or another one (calls of a turn are collected and posted as one batch, completions come back the same way).
//
// Life cycle: made by LocalJournal::open(); may outlive the journal. When it is destroyed, completions that have not
// come never come. Thread rule: its own executor. The executors must outlive the journal and all its logs.
#pragma once

#include <memory>

#include "wal/durable_log.h"
#include "wal/local/journal_core.h"

namespace millrace::wal::local {

class LocalLog final : public DurableLog {
  public:
    LocalLog(std::shared_ptr<JournalCore> core, ContainerId container, runtime::Executor& executor);
    ~LocalLog() override;

    void append(Frame frame, bool reserved, runtime::Callback<Result<Appended>> done) override;
    LogSequence next_sequence() const override;
    void truncate(LogSequence first_kept) override;
    void read(LogAddress address, std::size_t size, runtime::Callback<Result<bytes::Slice>> done) override;
    LogSpace space() const override;
    void on_space(runtime::Callback<SpaceEvent> listener) override;

  private:
    class State;
    std::shared_ptr<State> state_;
};

}  // namespace millrace::wal::local
