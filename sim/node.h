// One node: the local journal on a file system in memory, containers with their states, long-term storage. It is booted
// on what its predecessor's death has left of the disk.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "container/container.h"
#include "container/state/memory_state_store.h"
#include "io/memory_file_system.h"
#include "runtime/manual_executor.h"
#include "sim/object_world.h"
#include "sim/planted.h"
#include "wal/local/local_journal.h"

namespace millrace::sim {

struct NodeOptions {
    std::uint32_t containers = 2;
    container::ContainerOptions container;
    wal::local::JournalOptions journal;
    Planted planted = Planted::kNothing;
    std::chrono::milliseconds state_delay_max{0};  // of each answer of the containers' states
};

class Node {
  public:
    Node(runtime::ManualExecutor& executor, ObjectWorld& world, NodeOptions options);
    ~Node() { drop(); }

    // With the disk's crash planted, it may come in the middle: then crashed() says so, and there is no container.
    Result<> boot();
    // Ends at once; what the disk keeps of unsynced changes is drawn from `random`.
    void kill(Random& random);
    // Ends in order: all that was taken is done, the journal is closed. Runs the executor.
    Result<> stop();

    void raise_limit(std::uint64_t bytes) { options_.journal.limit_bytes = bytes; }  // from the next boot on

    container::SegmentContainer& container(std::uint32_t index) { return *containers_[index]; }
    io::MemoryFileSystem& disk() { return *disk_; }
    bool crashed() const { return disk_->crashed(); }
    const std::optional<Error>& failure() const { return failure_; }  // of the log: the node must be ended
    const std::string& last_crash() const { return last_crash_; }

  private:
    void drop();
    Result<> recover();

    runtime::ManualExecutor& executor_;
    ObjectWorld& world_;
    NodeOptions options_;
    std::unique_ptr<io::MemoryFileSystem> disk_;
    std::unique_ptr<io::FileSystem> seen_disk_;
    std::unique_ptr<wal::local::LocalJournal> journal_;
    std::vector<std::shared_ptr<container::state::MemoryStateDisk>> state_disks_;
    std::vector<std::unique_ptr<container::SegmentContainer>> containers_;
    std::vector<container::state::MemoryStateStore*> states_;  // of the containers
    std::optional<Error> failure_;
    std::string last_crash_;
};

}  // namespace millrace::sim
