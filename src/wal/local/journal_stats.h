// What the journal counts. One writer, the journal's executor, but for the damage; anybody may read.
#pragma once

#include <cstdint>

#include "base/metrics.h"

namespace millrace::wal::local {

struct JournalStats {
    std::uint64_t writes = 0;         // synced writes that were acknowledged
    std::uint64_t failed_writes = 0;  // 0 or 1: a failure is final
    std::uint64_t written_bytes = 0;  // headers and padding included
    std::uint64_t frames = 0;         // of containers
    std::uint64_t writes_in_flight = 0;
    std::uint64_t refused_frames = 0;        // for want of space
    std::uint64_t damaged_frames = 0;        // that a read found
    LatencyHistogram::Values write_latency;  // from giving a write to the system until it is on stable storage
};

struct JournalCounters {
    Counter writes_begun;
    Counter writes_ended;
    Counter failed_writes;
    Counter written_bytes;
    Counter frames;
    Counter refused_frames;
    SharedCounter damaged_frames;
    LatencyHistogram write_latency;

    JournalStats read() const {
        JournalStats stats;
        stats.writes = writes_ended.get();
        stats.failed_writes = failed_writes.get();
        stats.written_bytes = written_bytes.get();
        stats.frames = frames.get();
        std::uint64_t begun = writes_begun.get();
        stats.writes_in_flight = begun > stats.writes ? begun - stats.writes : 0;
        stats.refused_frames = refused_frames.get();
        stats.damaged_frames = damaged_frames.get();
        stats.write_latency = write_latency.read();
        return stats;
    }
};

}  // namespace millrace::wal::local
