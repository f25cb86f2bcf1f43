// The guard of a data directory: one process at a time, and none that is older than what lies in it.
//   LOCK      held while the process lives; contains its process id, for the message to others
//   VERSION   text: "millrace-data 1", then lines key=value (containers, journal, created)
//
// Life cycle: open() at start, before anything else touches the directory; destroyed last. Blocking; any one thread at
// a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/ids.h"
#include "io/file.h"

namespace millrace::wal::local {

// What is fixed when a data directory is made.
struct DataDirectoryInfo {
    std::uint32_t containers = 0;
    Uuid journal;                 // id of its journal; nil until there is one
    std::int64_t created_ms = 0;  // ms since the epoch
};

class DataDirectory {
  public:
    // Makes the directory if it is missing, and VERSION from `fresh` if there is none. kLocked, kNewerFormat, kCorrupt,
    // kIo, with texts for the operator.
    static Result<DataDirectory> open(io::FileSystem& files, const std::string& path, const DataDirectoryInfo& fresh);

    const std::string& path() const { return path_; }
    const DataDirectoryInfo& info() const { return info_; }
    bool made() const { return made_; }  // there was no VERSION before

    // Remembers the journal's id the first time. Later kCorrupt when the journal is not the one that belongs here, as
    // when its files were removed.
    Result<> bind_journal(const Uuid& journal);

  private:
    DataDirectory(io::FileSystem& files, std::string path) : files_(&files), path_(std::move(path)) {}
    Result<> lock();
    Result<> read_version(const DataDirectoryInfo& fresh);
    Result<> write_version();

    io::FileSystem* files_;
    std::string path_;
    std::unique_ptr<io::FileLock> lock_;
    DataDirectoryInfo info_;
    bool made_ = false;
};

}  // namespace millrace::wal::local
