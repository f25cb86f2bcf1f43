// The journal's files: those that hold live frames, oldest first, the last of them being written; and a few made ready
// for later. New files are made and old ones recycled in the background, one at a time, so that generations on disk
// never have a gap. Recycled files are kept for reuse up to a sixteenth of the limit. Thread rule: the journal's
// executor; the blocking work runs on FileSystem's pool.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "io/file.h"
#include "wal/local/journal_file.h"
#include "wal/local/journal_options.h"
#include "wal/local/journal_recovery.h"

namespace millrace::wal::local {

class FilePool : public std::enable_shared_from_this<FilePool> {
  public:
    // Of a file that could be recycled: is nothing in it needed any more?
    using IsFree = std::function<bool(const JournalFile&)>;

    FilePool(io::FileSystem& files, JournalDirectory directory, const JournalOptions& options,
             const RecoveredJournal& recovered);

    // `on_change`: a file came, went, or could not be made. `on_failure`: files could not be recycled; final.
    void start(IsFree is_free, std::function<void()> on_change, std::function<void(const Error&)> on_failure);
    void stop() { stopped_ = true; }

    JournalFile& current() const { return *live_.back(); }
    const JournalFileRef& current_ref() const { return live_.back(); }
    const std::deque<JournalFileRef>& live() const { return live_; }
    const std::deque<JournalFileRef>& ready() const { return ready_; }
    JournalFileRef find(Generation generation) const;  // a live file, or nothing

    void advance();   // the first ready file becomes the current one
    void maintain();  // recycles the oldest file if it is free, makes a file if too few are ready
    void retry();     // the same, and tries again what failed for want of space

    // Whether a further file may be made, as far as is known.
    bool may_grow() const;
    // While it may not: whole files ahead that ordinary frames leave to reserved ones.
    std::size_t kept_back() const { return reserve_made_ ? 2 : 1; }
    bool busy() const { return busy_; }
    // Sizes of the files after the current one, including one that is being made.
    std::vector<std::uint64_t> sizes_ahead() const;
    std::uint64_t used_bytes() const { return used_bytes_; }

  private:
    using Job = std::function<Result<JournalFileRef>(JournalDirectory&)>;

    bool recycle_oldest();
    bool below_limit() const { return used_bytes_ + options_.file_bytes <= options_.limit_bytes; }
    bool needs_file() const;
    std::size_t ready_max() const;
    void make_file();
    void run(Job job, std::function<void(FilePool&, Result<JournalFileRef>)> finish);

    io::FileSystem& files_;
    JournalDirectory directory_;
    const JournalOptions options_;
    const Uuid journal_;
    IsFree is_free_;
    std::function<void()> on_change_;
    std::function<void(const Error&)> on_failure_;
    std::deque<JournalFileRef> live_;
    std::deque<JournalFileRef> ready_;
    Generation next_generation_;
    std::uint64_t used_bytes_ = 0;
    std::uint64_t coming_bytes_ = 0;  // of the file that is being made or given a new generation
    bool busy_ = false;
    bool no_space_ = false;        // the last attempt to make a file failed
    bool reserve_made_ = false;    // the file made last took of what should stay free: it is not for ordinary frames
    bool reserve_failed_ = false;  // even for the only file ahead there was no room
    bool advanced_ = false;
    bool stopped_ = true;
};

}  // namespace millrace::wal::local
