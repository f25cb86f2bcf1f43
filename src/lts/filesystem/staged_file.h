// An object's file while it is written: in order, past the file system's cache (the bytes are in our own, and pages of
// the system's would only be filled to be written and dropped), two pieces on their way to the disk at once. Room for
// what was given is taken first: writes that let a file grow come one after the other in the kernel. Copying into
// aligned memory and writing happen on the file system's pool, whose threads bound what all files together have on its
// way: a synced write of the journal finds it before it in the disk's queue.
//
// Thread rule: on the executor, one call at a time. Includes the room's coroutine type: for .cc files only.
#pragma once

#include <functional>
#include <memory>

#include "io/file.h"
#include "lts/async.h"

namespace millrace::lts {

class StagedFile {
  public:
    // `file` is opened with OpenOptions::direct. `files` outlives this. `expected_size`: of all that will be appended;
    // 0 is not known.
    StagedFile(io::FileSystem& files, std::shared_ptr<io::File> file, std::uint64_t expected_size);

    // Takes the bytes; waits while too many are on their way. An error may be that of an earlier piece, and stays.
    Async<> append(bytes::Chain data);
    // All is written, the file has its size and is synced; then `publish` runs, on the pool. Nothing is appended
    // afterwards.
    Async<> finish(std::move_only_function<Result<>()> publish);
    // Nothing is on its way any more.
    Async<> settle();

    std::uint64_t size() const { return size_; }

  private:
    // Of the writes under way.
    struct Flights {
        unsigned count = 0;
        Result<> outcome;  // the first error stays
    };
    // Who waits for one of them to end. They alone hold it: if their end never comes, the waiting step goes with them.
    struct Landing {
        runtime::Callback<> waiting;
    };
    Async<> at_most(unsigned under_way);
    void begin(bytes::Chain part);
    std::uint64_t room_for(std::uint64_t size) const;

    io::FileSystem& files_;
    std::shared_ptr<io::File> file_;
    const std::uint64_t expected_;
    const std::size_t piece_;  // written by one call of the pool
    std::uint64_t size_ = 0;
    std::uint64_t begun_ = 0;  // bytes that are written or on their way: whole pages
    std::uint64_t reserved_ = 0;
    bytes::Chain rest_;  // not begun
    std::shared_ptr<Flights> flights_ = std::make_shared<Flights>();
    std::weak_ptr<Landing> landing_;
};

}  // namespace millrace::lts
