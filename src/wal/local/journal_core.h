// The running journal: what LocalJournal and the containers' LocalLogs share. Admits frames, runs the writer, keeps the
// policy of a full disk, finds laggards, marks quiet moments.
//
// Thread rule: everything runs on the journal's executor but space(), stats(), register_container() and
// checked_bytes(), which any thread may call.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "runtime/executor.h"
#include "wal/local/file_pool.h"
#include "wal/local/journal_container.h"
#include "wal/local/journal_options.h"
#include "wal/local/journal_read.h"
#include "wal/local/journal_writer.h"

namespace millrace::wal::local {

class JournalCore : public std::enable_shared_from_this<JournalCore> {
  public:
    JournalCore(io::FileSystem& files, runtime::Executor& executor, const JournalOptions& options,
                RecoveredJournal recovered);

    void start();  // once, on the executor

    runtime::Executor& executor() const { return executor_; }
    const JournalOptions& options() const { return options_; }
    const Uuid& journal() const { return journal_; }

    // Any thread. Each container once.
    ContainerState& register_container(ContainerId container, LogSequence& next);
    LogSpace space() const;
    JournalStats stats() const { return counters_.read(); }

    void attach(ContainerState& container, const std::weak_ptr<LogSink>& sink);
    void append(QueuedFrame frame);
    void truncate(ContainerState& container, LogSequence first_kept);
    // What holds the bytes, not checked yet: checked_bytes() does that, on any thread.
    void read(LogAddress address, std::size_t size, runtime::Callback<Result<JournalRead>> done);
    Result<bytes::Slice> checked_bytes(const JournalRead& read, ContainerId asker);
    void close(runtime::Callback<Result<>> done);

  private:
    void on_acknowledged();
    void on_failed(const Error& error);
    void on_pool_change();

    bool admitted(const QueuedFrame& frame) const;
    void refuse(const QueuedFrame& first, Errc why, const char* text);
    void refuse_what_has_no_room();
    void schedule_pump();
    void pump();

    bool is_free(const JournalFile& file, LogSequence ContainerState::* kept) const;
    void recycle();
    void update_space();
    void ask_laggards();
    void ask(ContainerState& container, LogSequence wanted);
    std::size_t oldest_needed(const ContainerState& container) const;

    void arm_idle_timer();
    void on_idle_timer();
    void arm_retry_timer();
    void on_retry_timer();
    void continue_close();

    runtime::Executor& executor_;
    const JournalOptions options_;
    const Uuid journal_;

    std::mutex damage_lock_;
    std::set<std::pair<Generation, std::uint64_t>> damaged_;  // frames found damaged, each told once

    mutable std::mutex registry_lock_;
    std::map<ContainerId, std::unique_ptr<ContainerState>> registry_;
    std::vector<ContainerState*> containers_;  // by index
    std::shared_ptr<FilePool> pool_;
    JournalCounters counters_;
    JournalWriter writer_;

    bool started_ = false;
    bool pump_scheduled_ = false;
    bool idle_timer_armed_ = false;
    bool retry_timer_armed_ = false;
    FrameNumber seen_by_idle_timer_;
    bool refused_ = false;  // something was, since space was last gained
    std::size_t ready_before_ = 0;
    std::optional<Error> failure_;
    bool closing_ = false;
    runtime::Callback<Result<>> close_done_;

    std::atomic<std::uint64_t> used_bytes_{0};
    std::atomic<bool> full_{false};
};

}  // namespace millrace::wal::local
