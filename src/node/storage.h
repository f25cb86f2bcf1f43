// Long-term storage of one process: where it is, and a store for each container on the container's own loop.
//
// Thread rule: made, and stores opened, before the loops run; stopped before they end; destroyed after they have ended
// and after the stores.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "io/file.h"
#include "lts/chunk_store.h"
#include "node/options.h"
#include "runtime/blocking_pool.h"
#include "runtime/core_loop.h"

namespace millrace::node {

class Storage {
  public:
    explicit Storage(const StorageOptions& options) : options_(options) {}

    bool is_used() const { return options_.kind != StorageKind::kNone; }

    // Whether it is a directory on the file system that holds `path`. Blocking.
    bool is_beside(io::FileSystem& files, const std::string& path) const;

    // Blocking. Null when none is used. kInvalidArgument: the options do not name a usable place. `may_be_away`: it
    // need not be usable now; until it is, calls fail and the log keeps what comes. A server is never asked at this
    // time.
    Result<std::unique_ptr<lts::ChunkStore>> open(runtime::CoreLoop& loop, bool may_be_away);

    void stop();
    const std::string& description() const { return description_; }

  private:
    const StorageOptions options_;
    std::string description_ = "none";
    // Threads of their own: what syncs large objects must not be what the journal waits for.
    std::map<runtime::CoreLoop*, std::unique_ptr<io::FileSystem>> files_;
    std::unique_ptr<runtime::BlockingPool> hashing_;
};

}  // namespace millrace::node
