// What the journal knows of a container, and what passes between the journal and the container's log. ContainerState
// belongs to the journal's executor, but for what is marked otherwise.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "bytes/buffer.h"
#include "wal/durable_log.h"

namespace millrace::wal::local {

// The receiving end of a container's log; called on the journal's executor.
class LogSink {
  public:
    virtual ~LogSink() = default;
    virtual void acknowledged(std::vector<Appended> frames) = 0;
    // This frame and all that followed it were dropped: no space, or the journal is being closed.
    virtual void refused(LogSequence from, const Error& why) = 0;
    virtual void failed(const Error& error) = 0;
    virtual void space_event(const DurableLog::SpaceEvent& event) = 0;
};

struct ContainerState {
    explicit ContainerState(ContainerId container) : id(container) {}

    const ContainerId id;
    bool opened = false;  // under the journal's registry lock

    bool attached = false;  // known to the journal's executor: index and sink are set
    std::size_t index = 0;  // of JournalFile::last_sequence
    std::weak_ptr<LogSink> sink;

    LogSequence accepted_next{1};  // of the next frame to queue
    LogSequence placed_next{1};    // of the next frame to be given a place in a file
    LogSequence first_kept{1};     // truncation point
    LogSequence recorded_kept{1};  // the same as far as it is on stable storage
    std::uint32_t round = 0;       // frames of earlier rounds followed a refused one
    LogSequence asked;             // the container was asked to move its truncation point here

    std::vector<Appended> acknowledged;  // collected until the sink is told
};

// A frame on its way into the journal. The payload's CRC is made on the container's executor.
struct QueuedFrame {
    ContainerState* container = nullptr;
    Frame frame;
    std::uint32_t payload_crc = 0;
    LogSequence sequence;
    std::uint32_t round = 0;
    bool reserved = false;
};

}  // namespace millrace::wal::local
