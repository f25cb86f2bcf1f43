// The containers' states on disk: one directory for each below DATA-DIR/state, and what they share: memory, and threads
// for calls that block.
//
// Thread rule: made, and states opened, before the loops run; stopped before they end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/ids.h"
#include "base/units.h"
#include "container/state/state_store.h"
#include "io/file.h"
#include "runtime/blocking_pool.h"
#include "runtime/executor.h"

namespace millrace::container::state {
class StateResources;
}

namespace millrace::node {

struct StatesOptions {
    std::string directory;                  // of all states
    std::uint64_t cache_bytes = 64 * kMiB;  // of all states together; a part of it is for what is not on disk yet
};

class States {
  public:
    explicit States(StatesOptions options);
    ~States();

    // Blocking. The directory is made when it is missing.
    Result<> prepare(io::FileSystem& files);
    Result<std::unique_ptr<container::state::StateStore>> open(ContainerId container, runtime::Executor& executor);
    std::uint64_t damages() const;  // places found damaged in the files since the start; any thread
    void stop() { pool_.stop(); }

  private:
    const StatesOptions options_;
    std::shared_ptr<container::state::StateResources> resources_;
    runtime::BlockingPool pool_;
};

}  // namespace millrace::node
