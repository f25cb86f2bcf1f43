// One file of the journal, and the blocking steps of its life: made (or given a new generation), opened again, removed.
// Each step is safe at every crash: a name <generation>.journal is only ever given to a complete file, and is on disk
// when the step returns. Thread rule: the steps run on a pool thread (or at start), one at a time; a JournalFile
// belongs to the journal's executor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/file.h"
#include "wal/local/frame_format.h"
#include "wal/local/frame_map.h"

namespace millrace::wal::local {

struct JournalFile {
    Generation generation;
    std::uint64_t bytes = 0;
    std::string path;
    std::shared_ptr<io::File> file;

    // What is in it, kept while it is live.
    FrameNumber last_number;                           // highest frame placed in it
    FrameMap frames;                                   // where all that were placed in it begin
    std::vector<std::uint64_t> last_sequence;          // by container index: highest sequence placed in it, 0: none
    std::uint64_t acknowledged_end = kFileHeaderSize;  // reads may go up to here
    bool started = false;                              // its "file start" is on stable storage

    void placed(std::size_t container, LogSequence sequence) {
        if (last_sequence.size() <= container) last_sequence.resize(container + 1);
        last_sequence[container] = sequence.value();
    }
};

using JournalFileRef = std::shared_ptr<JournalFile>;

class JournalDirectory {
  public:
    JournalDirectory(io::FileSystem& files, std::string path) : files_(&files), path_(std::move(path)) {}

    const std::string& path() const { return path_; }

    // Makes the directory, removes an unfinished file; the generations that exist, rising.
    Result<std::vector<Generation>> prepare();

    // Written with zeros, then named. kNoSpace when less than `min_free_bytes` would be left on the disk.
    Result<JournalFileRef> create(const Uuid& journal, Generation generation, std::uint64_t bytes,
                                  std::uint64_t min_free_bytes);
    // Gives the file of `old` a new generation. After an error it is unknown whether `old` is still there: nothing may
    // be removed any more, or a gap could come to be.
    Result<JournalFileRef> reuse(const Uuid& journal, JournalFileRef old, Generation generation);
    Result<> remove(const JournalFile& old);  // after an error: as for reuse()

    // Opens and checks the header and the size. The texts of errors name the file.
    struct Opened {
        JournalFileRef file;
        Uuid journal;
    };
    Result<Opened> open(Generation generation);

  private:
    std::string path_of(std::string_view name) const { return path_ + "/" + std::string(name); }
    Result<> write_header(io::File& file, const Uuid& journal, Generation generation, std::uint64_t bytes);
    Result<> fill(io::File& file, const Uuid& journal, Generation generation, std::uint64_t bytes);
    Result<JournalFileRef> publish(std::shared_ptr<io::File> file, Generation generation, std::uint64_t bytes);
    Result<> remove_unfinished();

    io::FileSystem* files_;
    std::string path_;
};

// The text of a refusal to serve: file, offset, what is wrong, what to do.
Error damaged(const std::string& path, std::uint64_t offset, std::string_view what);

}  // namespace millrace::wal::local
