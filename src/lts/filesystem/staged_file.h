// An object's file while it is written: in order, past the file system's cache (the bytes are in our own, and pages of
// the system's would only be filled to be written and dropped), the next piece taken while one is on its way to the
// disk. Copying into aligned memory and writing happen on the file system's pool. All files of a store share a few
// turns: what is on its way to the disk is what a synced write of the journal finds before it in the disk's queue.
//
// Thread rule: on the executor, one call at a time. Includes the room's coroutine type: for .cc files only.
#pragma once

#include <memory>

#include "io/file.h"
#include "lts/async.h"
#include "runtime/units.h"

namespace millrace::lts {

class StagedFile {
  public:
    // `file` is opened with OpenOptions::direct. `files` and `turns` outlive this.
    StagedFile(io::FileSystem& files, runtime::Semaphore& turns, std::shared_ptr<io::File> file);

    // Takes the bytes; waits while too many are on their way. An error may be that of an earlier piece, and stays.
    Async<> append(bytes::Chain data);
    // All is written and the file has its size and is synced. Nothing is appended afterwards.
    Async<> finish();
    // Nothing is on its way any more.
    Async<> settle();

    std::uint64_t size() const { return size_; }

  private:
    struct Flight {
        bool busy = false;
        runtime::SemaphoreUnits turn;
        Result<> written;  // by the pool
        Result<> outcome;  // the first error stays
    };
    // Who waits for the write under way. The write alone holds it: if its end never comes, the waiting step goes with
    // it.
    struct Landing {
        runtime::Callback<> waiting;
    };
    Async<> begin(bytes::Chain part);

    io::FileSystem& files_;
    runtime::Semaphore& turns_;
    std::shared_ptr<io::File> file_;
    std::uint64_t size_ = 0;
    std::uint64_t begun_ = 0;  // bytes that are written or on their way: whole pages
    bytes::Chain rest_;        // less than a page
    std::shared_ptr<Flight> flight_ = std::make_shared<Flight>();
    std::weak_ptr<Landing> landing_;
};

}  // namespace millrace::lts
