// A StateStore on RocksDB. Batches are written by one job of the pool at a time, which takes all that are queued; a
// flush runs beside later batches; readings run beside everything.
#pragma once

#include <memory>

#include "container/state/database.h"
#include "container/state/state_store.h"
#include "runtime/blocking_pool.h"

namespace millrace::container::state {

// Blocking. `pool` and `executor` outlive the store. Errors as Database::open.
Result<std::unique_ptr<StateStore>> open_rocksdb_state(DatabaseOptions options,
                                                       std::shared_ptr<StateResources> resources,
                                                       runtime::BlockingPool& pool, runtime::Executor& executor);

}  // namespace millrace::container::state
