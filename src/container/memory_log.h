// A durable log in memory for the container's tests: frames are acknowledged when the test says so, and a crash keeps a
// prefix of what was submitted. Keeps the contract of wal/durable_log.h.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <vector>

#include "base/units.h"
#include "container/container.h"
#include "wal/durable_log.h"

namespace millrace::container {

// What survives: shared by the logs of one container's lives.
struct MemoryLogDisk {
    struct Stored {
        wal::Appended where;
        std::vector<std::uint8_t> payload;
    };
    std::deque<Stored> frames;  // durable and not truncated
    std::uint64_t next = 1;
    std::uint64_t frames_per_file = 4;
    std::uint64_t physically_truncated = 0;
    std::set<std::uint64_t> damaged;  // sequences of frames that cannot be read back
};

class MemoryLog final : public wal::DurableLog {
  public:
    MemoryLog(std::shared_ptr<MemoryLogDisk> disk, runtime::Executor& executor)
        : disk_(std::move(disk)), executor_(executor) {}

    void append(wal::Frame frame, bool, runtime::Callback<Result<wal::Appended>> done) override {
        const std::uint8_t* payload = frame.slab->data() + frame.payload_begin();
        std::uint64_t sequence = disk_->next++;
        wal::Appended where{LogSequence(sequence), {1 + sequence / disk_->frames_per_file, sequence << 32}};
        waiting_.push_back({{where, {payload, payload + frame.payload_size}}, std::move(done)});
        if (!hold) executor_.post([this] { acknowledge(1); });
    }
    LogSequence next_sequence() const override { return LogSequence(disk_->next); }
    // Whole files go, as with the journal.
    void truncate(LogSequence first_kept) override {
        truncations.push_back(first_kept);
        while (!disk_->frames.empty()) {
            std::uint64_t file = disk_->frames.front().where.payload.file;
            std::uint64_t last = (file - 1) * disk_->frames_per_file + disk_->frames_per_file - 1;
            if (last >= first_kept.value()) break;
            disk_->frames.pop_front();
            ++disk_->physically_truncated;
        }
    }
    void read(wal::LogAddress address, std::size_t size, runtime::Callback<Result<bytes::Slice>> done) override {
        ++reads;
        Result<bytes::Slice> result = fail(Errc::kNotFound, "recycled");
        for (const auto& frame : disk_->frames) {
            std::uint64_t begin = frame.where.payload.offset;
            if (frame.where.payload.file != address.file || address.offset < begin ||
                address.offset + size > begin + frame.payload.size()) {
                continue;
            }
            if (disk_->damaged.contains(frame.where.sequence.value())) {
                result = fail(wal::damaged_frame_error({begin, begin + align_up(frame.payload.size() + 1, 4096)},
                                                       "planted damage"));
                continue;
            }
            result = bytes::Slice::copy_of({frame.payload.data() + (address.offset - begin), size});
        }
        executor_.post([result = std::move(result), done = std::move(done)]() mutable { done(std::move(result)); });
    }
    wal::LogSpace space() const override { return {0, 0, full}; }
    void on_space(runtime::Callback<SpaceEvent> listener) override { listener_ = std::move(listener); }

    // ---- the test's side ----
    void acknowledge(std::size_t count) {
        for (; count > 0 && !waiting_.empty(); --count) {
            auto entry = std::move(waiting_.front());
            waiting_.pop_front();
            if (fail_next) {
                disk_->next = entry.stored.where.sequence.value();
                waiting_.clear();
                entry.done(fail(Errc::kIo, "planted"));
                return;
            }
            if (refuse) {  // with all that came behind it
                disk_->next = entry.stored.where.sequence.value();
                auto behind = std::exchange(waiting_, {});
                entry.done(fail(Errc::kNoSpace, "planted"));
                for (auto& later : behind) later.done(fail(Errc::kNoSpace, "planted"));
                return;
            }
            wal::Appended where = entry.stored.where;
            disk_->frames.push_back(std::move(entry.stored));
            entry.done(where);
        }
    }
    void set_full(bool now, LogSequence wanted = {}) {
        full = now;
        listener_(SpaceEvent{now, wanted});
    }
    // A crash: `kept` of the frames under way reach the disk, though nobody was told.
    void crash(std::size_t kept) {
        for (; kept > 0 && !waiting_.empty(); --kept) {
            disk_->frames.push_back(std::move(waiting_.front().stored));
            waiting_.pop_front();
        }
        if (!waiting_.empty()) disk_->next = waiting_.front().stored.where.sequence.value();
        waiting_.clear();
    }
    std::size_t under_way() const { return waiting_.size(); }

    bool hold = false;
    bool full = false;
    bool fail_next = false;
    bool refuse = false;  // even reserved frames: nothing is written
    std::uint64_t reads = 0;
    std::vector<LogSequence> truncations;

  private:
    struct Waiting {
        MemoryLogDisk::Stored stored;
        runtime::Callback<Result<wal::Appended>> done;
    };
    std::shared_ptr<MemoryLogDisk> disk_;
    runtime::Executor& executor_;
    std::deque<Waiting> waiting_;
    runtime::Callback<SpaceEvent> listener_;
};

}  // namespace millrace::container
