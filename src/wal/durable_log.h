// DurableLog: the contract of a container's write-ahead log. One container appends frames; a frame is an opaque
// payload, written as a whole. Frames are acknowledged in the order of their sequence numbers, and an acknowledgement
// means: on stable storage, together with every frame before it. local/ keeps the contract on a journal shared by all
// containers of a node, bookkeeper/ on ledgers.
//
// Life cycle: a DurableLogProvider is opened (locks, checks versions), recover() delivers what is there, once, then
// open() gives each container its log. Thread rule: a DurableLog is used on the executor it was opened with;
// completions run there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/ids.h"
#include "bytes/buffer.h"
#include "runtime/executor.h"

namespace millrace::wal {

// Memory of a frame: pages of a slab, [begin, begin + pages) with begin page-aligned. The first kHeaderRoom bytes are
// the log's own; the payload follows. The log zeroes the rest of the last page. Until the frame is acknowledged nobody
// else writes to these pages; the payload is left unchanged, so slices of it may be shared at once.
inline constexpr std::size_t kHeaderRoom = 64;

struct Frame {
    bytes::SlabRef slab;
    std::size_t begin = 0;
    std::size_t payload_size = 0;

    std::size_t payload_begin() const { return begin + kHeaderRoom; }
};

inline constexpr std::size_t kMaxPayload = std::size_t{33} << 20;  // of one frame: a 32 MiB operation and its records

// Where bytes of a payload can be read back: an opaque place, meaningful to the log that gave it. Adding to `offset`
// moves within one frame's payload.
struct LogAddress {
    std::uint64_t file = 0;  // 0: nowhere
    std::uint64_t offset = 0;
    friend bool operator==(const LogAddress&, const LogAddress&) = default;
    LogAddress plus(std::uint64_t bytes) const { return {file, offset + bytes}; }
};

struct Appended {
    LogSequence sequence;
    LogAddress payload;  // of the payload's first byte
    friend bool operator==(const Appended&, const Appended&) = default;
};

// The place of a frame whose bytes on disk have changed: offsets of LogAddress, of the same file, multiples of 4 KiB.
struct DamagedFrame {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    friend bool operator==(const DamagedFrame&, const DamagedFrame&) = default;
};

// The place travels as the value of a kCorrupt: its pages, 32 bits each. Nothing for an error that names no place.
inline Error damaged_frame_error(DamagedFrame frame, std::string text) {
    auto value = frame.begin / bytes::kPageSize << 32 | frame.end / bytes::kPageSize;
    return Error(Errc::kCorrupt, static_cast<std::int64_t>(value), std::move(text));
}
inline std::optional<DamagedFrame> damaged_frame(const Error& error) {
    auto value = static_cast<std::uint64_t>(error.value());
    if (error.code() != Errc::kCorrupt || value == 0) return std::nullopt;
    return DamagedFrame{(value >> 32) * bytes::kPageSize, (value & 0xffffffff) * bytes::kPageSize};
}

struct LogSpace {
    std::uint64_t used_bytes = 0;
    std::uint64_t limit_bytes = 0;
    bool full = false;  // ordinary frames are refused until space is freed
};

class DurableLog {
  public:
    virtual ~DurableLog() = default;

    // Queues a frame; `done` comes in the order of the calls. kNoSpace (before anything was written) when the log is
    // full: ordinary frames only; `reserved` ones (truncations, deletions, seals, checkpoints: what frees space) may
    // use a last reserve. The frames appended after a refused one, until its `done` has come, are refused with it, and
    // its sequence is given out again: what was built on it is not written either. Any other error is final: the log is
    // failed, this and all later frames are refused, and the container must be recovered.
    virtual void append(Frame frame, bool reserved, runtime::Callback<Result<Appended>> done) = 0;

    // Sequence that the next appended frame gets. Sequences are consecutive from 1 for each container.
    virtual LogSequence next_sequence() const = 0;

    // Frames before `first_kept` are no longer needed: recovery may or may not deliver them, read() of them may fail.
    virtual void truncate(LogSequence first_kept) = 0;

    // Bytes of an acknowledged frame that is not truncated; or of several frames, with what lies between them. Every
    // frame that the range touches is checked. kCorrupt (damaged_frame() says which), kIo, kNotFound (recycled).
    virtual void read(LogAddress address, std::size_t size, runtime::Callback<Result<bytes::Slice>> done) = 0;

    virtual LogSpace space() const = 0;

    // `listener` runs when the log is full or has become writable again, and when a laggard holds space back: then
    // `wanted` is the sequence to which this container should move its truncation point (by writing a checkpoint and
    // carrying live bytes forward).
    struct SpaceEvent {
        bool full = false;
        LogSequence wanted;  // 0: nothing is asked for
    };
    virtual void on_space(runtime::Callback<SpaceEvent> listener) = 0;
};

// Receives what recovery finds, in order of sequence for each container. `payload` is valid during the call only.
class RecoveryVisitor {
  public:
    virtual ~RecoveryVisitor() = default;
    virtual Result<> frame(ContainerId container, const Appended& where, bytes::ByteSpan payload) = 0;
};

struct RecoveryReport {
    std::uint64_t frames = 0;
    std::uint64_t bytes = 0;
    std::uint64_t torn_tails = 0;  // incomplete frames at the end, repaired (never acknowledged)
};

class DurableLogProvider {
  public:
    virtual ~DurableLogProvider() = default;

    // Once, before open(). Blocking. kCorrupt names file and offset and says what to do.
    virtual Result<RecoveryReport> recover(RecoveryVisitor& visitor) = 0;

    virtual std::unique_ptr<DurableLog> open(ContainerId container, runtime::Executor& executor) = 0;

    // Writes what is queued, marks a clean end, calls `done`. No append afterwards.
    virtual void close(runtime::Callback<Result<>> done) = 0;
};

}  // namespace millrace::wal
