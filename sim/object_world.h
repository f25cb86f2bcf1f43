// Long-term storage in the simulation: objects that outlive the node, and requests that outlive it too. A request takes
// time, may be refused, may lose its reply, and may take effect long after it was given up, even in the next life.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "lts/chunk_store.h"

namespace millrace::sim {

struct ObjectFaults {
    std::uint32_t error_percent = 0;  // refused
    std::uint32_t lost_percent = 0;   // done, but told as failed
    std::uint32_t late_percent = 0;   // of those: done only a while after it was told
    std::uint32_t unlisted_percent = 0;
    std::uint32_t delay_ms = 0;  // at most
    bool down = false;
};

class ObjectWorld {
  public:
    explicit ObjectWorld(std::uint64_t seed) : random_(seed) {}

    // The store that a node opens; requests of one that was destroyed are still done, and tell nobody.
    std::unique_ptr<lts::ChunkStore> open(runtime::Executor& executor);
    void run_due(std::chrono::steady_clock::time_point now);  // what has had its time
    std::function<void(std::string)> on_change;               // told what happens to objects

    std::map<std::string, std::vector<std::uint8_t>> objects;
    std::map<std::string, lts::Register> registers;
    ObjectFaults faults;
    bool sweep_too_early = false;  // planted: what has no record yet is taken for an orphan

  private:
    friend class SimChunkStore;
    using Time = std::chrono::steady_clock::time_point;
    void tell(std::string what) const {
        if (on_change) on_change(std::move(what));
    }
    void at(Time time, runtime::Task action) { actions_.emplace(std::pair(time, ++last_), std::move(action)); }

    std::map<std::pair<Time, std::uint64_t>, runtime::Task> actions_;
    std::uint64_t last_ = 0;
    std::uint64_t tags_ = 0;
    SeededRandom random_;
};

}  // namespace millrace::sim
