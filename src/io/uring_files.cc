#include "io/uring_files.h"

#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "io/posix_common.h"
#include "io/uring.h"

namespace millrace::io {
namespace {

class UringFile final : public PosixFileCalls {
  public:
    UringFile(std::shared_ptr<Uring> ring, runtime::Executor& executor, PosixFileRef file)
        : PosixFileCalls(std::move(file)), ring_(std::move(ring)), executor_(executor) {}

    void write(std::uint64_t offset, std::vector<bytes::ByteSpan> pieces, bool sync,
               runtime::Callback<Result<>> done) override {
        if (auto checked = file_->check_write(offset, pieces); !checked) {
            return complete<void>(std::move(checked), std::move(done));
        }
        IoVector vector(pieces);
        if (vector.done()) return complete<void>({}, std::move(done));
        start(Uring::Operation::Kind::kWrite, std::move(vector), offset, sync, without_count(std::move(done)));
    }

    void read(std::uint64_t offset, bytes::MutableByteSpan target,
              runtime::Callback<Result<std::size_t>> done) override {
        if (auto checked = file_->check_read(offset, target); !checked) {
            return complete<std::size_t>(fail(checked.error()), std::move(done));
        }
        if (target.empty()) return complete<std::size_t>(0, std::move(done));
        start(Uring::Operation::Kind::kRead, IoVector(target), offset, false, std::move(done));
    }

    void sync(runtime::Callback<Result<>> done) override {
        start(Uring::Operation::Kind::kSync, IoVector(), 0, false, without_count(std::move(done)));
    }

  private:
    static runtime::Callback<Result<std::size_t>> without_count(runtime::Callback<Result<>> done) {
        return [done = std::move(done)](Result<std::size_t> result) mutable {
            if (result)
                done({});
            else
                done(fail(std::move(result).error()));
        };
    }
    template <typename T>
    void complete(Result<T> result, runtime::Callback<Result<T>> done) {
        executor_.post([result = std::move(result), done = std::move(done)]() mutable { done(std::move(result)); });
    }
    void start(Uring::Operation::Kind kind, IoVector vector, std::uint64_t offset, bool sync,
               runtime::Callback<Result<std::size_t>> done) {
        auto operation = std::make_unique<Uring::Operation>();
        operation->kind = kind;
        operation->file = file_;
        operation->vector = std::move(vector);
        operation->offset = offset;
        operation->sync = sync;
        operation->done = std::move(done);
        ring_->start(std::move(operation));
    }

    std::shared_ptr<Uring> ring_;
    runtime::Executor& executor_;
};

class UringFileSystem final : public PosixFileSystem {
  public:
    UringFileSystem(runtime::CoreLoop& loop, std::shared_ptr<Uring> ring)
        : PosixFileSystem(loop), ring_(std::move(ring)) {}
    ~UringFileSystem() override {
        stop_housekeeping();
        ring_->close();
    }

    std::string description() const override { return "io_uring"; }

  protected:
    std::unique_ptr<File> wrap(PosixFileRef file) override {
        return std::make_unique<UringFile>(ring_, executor_, std::move(file));
    }

  private:
    std::shared_ptr<Uring> ring_;
};

}  // namespace

std::expected<std::unique_ptr<FileSystem>, int> make_uring_file_system(runtime::CoreLoop& loop) {
    auto ring = Uring::open(loop);
    if (!ring) return std::unexpected(ring.error());
    return std::make_unique<UringFileSystem>(loop, std::move(*ring));
}

std::string explain_uring_refusal(int error_number, std::optional<int> sysctl) {
    std::string text = std::generic_category().message(error_number);
    if (error_number == ENOSYS) {
        return text + "; the kernel has no io_uring (older than 5.1 or built without), or a seccomp profile hides it";
    }
    if (error_number == EPERM || error_number == EACCES) {
        if (sysctl.value_or(0) == 2) return text + "; switched off by sysctl kernel.io_uring_disabled=2";
        if (sysctl.value_or(0) == 1) {
            return text + "; sysctl kernel.io_uring_disabled=1 leaves it to the members of kernel.io_uring_group";
        }
        return text + "; a seccomp profile forbids it, as container runtimes do by default";
    }
    if (error_number == ENOMEM) return text + "; on kernels before 5.12 RLIMIT_MEMLOCK is too low for the ring";
    if (error_number == EINVAL) return text + "; the kernel is too old for this use of io_uring";
    return text;
}

}  // namespace millrace::io
