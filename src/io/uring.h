// The ring itself: queues operations, submits them once per loop turn, resubmits what was done in part, and posts
// completions. Thread rule: everything on the loop's thread. An operation in flight keeps the ring alive.
#pragma once

#include <atomic>
#include <deque>
#include <expected>
#include <memory>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <liburing.h>

#include "io/posix_common.h"
#include "runtime/core_loop.h"

namespace millrace::io {

class Uring : public std::enable_shared_from_this<Uring> {
  public:
    struct Operation {
        enum class Kind { kWrite, kRead, kSync };

        Kind kind;
        PosixFileRef file;
        IoVector vector;
        std::uint64_t offset = 0;
        bool sync = false;
        runtime::Callback<Result<std::size_t>> done;  // the count transferred

        int refusals = 0;             // answers that ask for another try, in a row
        std::shared_ptr<Uring> ring;  // while it is in flight
    };

    static std::expected<std::shared_ptr<Uring>, int> open(runtime::CoreLoop& loop);  // or an error number
    ~Uring();
    Uring(const Uring&) = delete;
    Uring& operator=(const Uring&) = delete;

    void start(std::unique_ptr<Operation> operation);
    // Refuses new operations; on the loop's thread it waits for those in flight and posts their completions.
    void close();

  private:
    struct Finished {
        std::unique_ptr<Operation> operation;
        Result<std::size_t> result;
    };

    Uring(runtime::CoreLoop& loop, const io_uring& ring, bool deferred_work, int event);

    void schedule();
    void submit();
    void enable();
    bool prepare_next();
    void watch();
    void on_event();
    void reap();
    void settle(std::unique_ptr<Operation> operation, int result);
    void post_finished();

    runtime::CoreLoop& loop_;
    io_uring ring_;
    const bool deferred_work_;  // completions appear only when this thread asks the kernel for them
    boost::asio::posix::stream_descriptor event_;
    std::deque<std::unique_ptr<Operation>> waiting_;
    std::vector<Finished> finished_;
    std::size_t in_flight_ = 0;
    bool enabled_ = false;
    bool scheduled_ = false;
    std::atomic<bool> closed_{false};
};

}  // namespace millrace::io
