#include "io/thread_pool_files.h"

#include <fmt/format.h>

#include "io/posix_common.h"

namespace millrace::io {
namespace {

// As many as a journal keeps synced writes in flight with good use: more only wait in the device's queue.
constexpr std::size_t kThreads = 4;

struct Pool {
    explicit Pool(runtime::Executor& on) : executor(on) {}

    // Runs `work` on the pool and hands its result to `done` on the executor.
    template <typename T, typename Work>
    void run(Work work, runtime::Callback<Result<T>> done) {
        threads.submit([this, work = std::move(work), done = std::move(done)](bool open) mutable {
            complete(open ? work() : Result<T>(fail(Errc::kClosed)), std::move(done));
        });
    }
    template <typename T>
    void complete(Result<T> result, runtime::Callback<Result<T>> done) {
        executor.post([result = std::move(result), done = std::move(done)]() mutable { done(std::move(result)); });
    }

    runtime::Executor& executor;
    BlockingPool threads{"io-files", kThreads};
};

class ThreadPoolFile final : public PosixFileCalls {
  public:
    ThreadPoolFile(std::shared_ptr<Pool> pool, PosixFileRef file)
        : PosixFileCalls(std::move(file)), pool_(std::move(pool)) {}

    void write(std::uint64_t offset, std::vector<bytes::ByteSpan> pieces, bool sync,
               runtime::Callback<Result<>> done) override {
        if (auto checked = file_->check_write(offset, pieces); !checked) {
            return pool_->complete<void>(std::move(checked), std::move(done));
        }
        auto work = [file = file_, vector = IoVector(pieces), offset, sync]() mutable {
            return file->write_all(std::move(vector), offset, sync);
        };
        pool_->run<void>(std::move(work), std::move(done));
    }

    void read(std::uint64_t offset, bytes::MutableByteSpan target,
              runtime::Callback<Result<std::size_t>> done) override {
        if (auto checked = file_->check_read(offset, target); !checked) {
            return pool_->complete<std::size_t>(fail(checked.error()), std::move(done));
        }
        auto work = [file = file_, target, offset] { return file->read_all(IoVector(target), offset); };
        pool_->run<std::size_t>(std::move(work), std::move(done));
    }

    void sync(runtime::Callback<Result<>> done) override {
        pool_->run<void>([file = file_] { return file->sync(); }, std::move(done));
    }

  private:
    std::shared_ptr<Pool> pool_;
};

class ThreadPoolFileSystem final : public PosixFileSystem {
  public:
    explicit ThreadPoolFileSystem(runtime::Executor& executor)
        : PosixFileSystem(executor), pool_(std::make_shared<Pool>(executor)) {}
    ~ThreadPoolFileSystem() override {
        stop_housekeeping();
        pool_->threads.stop();
    }

    std::string description() const override { return fmt::format("thread pool of {}", kThreads); }

  protected:
    std::unique_ptr<File> wrap(PosixFileRef file) override {
        return std::make_unique<ThreadPoolFile>(pool_, std::move(file));
    }

  private:
    std::shared_ptr<Pool> pool_;
};

}  // namespace

std::unique_ptr<FileSystem> make_thread_pool_file_system(runtime::Executor& executor) {
    return std::make_unique<ThreadPoolFileSystem>(executor);
}

}  // namespace millrace::io
