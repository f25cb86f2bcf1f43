// How many bytes of living segments the container still has in which file of its log, and so from which sequence on the
// log is needed. Files are those of LogAddress; they grow with the sequence.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/ids.h"
#include "wal/durable_log.h"

namespace millrace::container {

class LogUsage {
  public:
    struct File {
        std::uint64_t file = 0;
        LogSequence first;  // of this container's frames in the file
        std::uint64_t live_bytes = 0;
        std::uint64_t logged_bytes = 0;  // payload of this container's frames in it
    };

    void frame(std::uint64_t file, LogSequence sequence, std::uint64_t payload_bytes) {
        if (files_.empty() || files_.back().file != file) files_.push_back({file, sequence, 0, 0});
        files_.back().logged_bytes += payload_bytes;
    }
    void add(std::uint64_t file, std::uint64_t bytes) {
        if (File* found = find(file)) found->live_bytes += bytes;
    }
    void remove(std::uint64_t file, std::uint64_t bytes) {
        if (File* found = find(file)) found->live_bytes -= std::min(bytes, found->live_bytes);
    }

    // First sequence of the oldest file with living bytes; nothing when no file has any.
    std::optional<LogSequence> first_needed() const {
        for (const File& file : files_) {
            if (file.live_bytes > 0) return file.first;
        }
        return std::nullopt;
    }
    // Forgets files whose frames all lie before `first_kept`.
    void truncated(LogSequence first_kept) {
        while (files_.size() > 1 && files_[1].first <= first_kept && files_.front().live_bytes == 0) files_.pop_front();
    }
    const std::deque<File>& files() const { return files_; }

  private:
    File* find(std::uint64_t file) {
        auto at = std::lower_bound(files_.begin(), files_.end(), file,
                                   [](const File& f, std::uint64_t id) { return f.file < id; });
        return at != files_.end() && at->file == file ? &*at : nullptr;
    }

    std::deque<File> files_;
};

}  // namespace millrace::container
