#include "io/posix_common.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "io/checks.h"

namespace millrace::io {
namespace {

constexpr std::size_t kHousekeepingThreads = 8;  // objects of long-term storage are written by them, too
constexpr mode_t kFileMode = 0640;
constexpr mode_t kDirectoryMode = 0750;

Errc code_of(int error_number) {
    switch (error_number) {
        case ENOENT:
            return Errc::kNotFound;
        case EEXIST:
            return Errc::kExists;
        case ENOSPC:
        case EDQUOT:
            return Errc::kNoSpace;
        case EFBIG:
            return Errc::kLimit;
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case EAGAIN:
            return Errc::kUnavailable;
        case EACCES:
        case EPERM:
        case EROFS:
        case EISDIR:
        case ENOTDIR:
        case ENOTEMPTY:
        case EINVAL:
        case ELOOP:
        case ENAMETOOLONG:
        case EBADF:
            return Errc::kInvalidArgument;
        default:
            return Errc::kIo;
    }
}

template <typename Call>
auto retry_interrupted(const Call& call) {
    auto result = call();
    while (result < 0 && errno == EINTR) result = call();
    return result;
}

class Descriptor {
  public:
    explicit Descriptor(int number) : number_(number) {}
    ~Descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const { return number_; }
    int release() { return std::exchange(number_, -1); }

  private:
    int number_;
};

Descriptor open_descriptor(const std::string& path, int flags) {
    return Descriptor(retry_interrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, kFileMode); }));
}

std::string parent_directory(const std::string& path) {
    std::string parent = std::filesystem::path(path).parent_path().string();
    return parent.empty() ? "." : parent;
}

class DescriptorLock final : public FileLock {
  public:
    explicit DescriptorLock(int descriptor) : descriptor_(descriptor) {}

  private:
    Descriptor descriptor_;  // the lock belongs to the open file description and goes with it
};

}  // namespace

Error posix_error(int error_number, const std::string& action, const std::string& path) {
    return {code_of(error_number), action + " " + path + ": " + std::generic_category().message(error_number)};
}

IoVector::IoVector(const std::vector<bytes::ByteSpan>& pieces) {
    vectors_.reserve(pieces.size());
    for (bytes::ByteSpan piece : pieces) {
        if (!piece.empty()) vectors_.push_back({const_cast<std::uint8_t*>(piece.data()), piece.size()});
    }
}

IoVector::IoVector(bytes::MutableByteSpan target) {
    if (!target.empty()) vectors_.push_back({target.data(), target.size()});
}

std::span<const iovec> IoVector::next() const {
    return std::span(vectors_).subspan(first_, std::min<std::size_t>(vectors_.size() - first_, IOV_MAX));
}

void IoVector::advance(std::size_t count) {
    transferred_ += count;
    while (count > 0) {
        MILLRACE_ASSERT(!done());
        iovec& vector = vectors_[first_];
        std::size_t step = std::min(count, vector.iov_len);
        vector.iov_base = static_cast<std::uint8_t*>(vector.iov_base) + step;
        vector.iov_len -= step;
        count -= step;
        if (vector.iov_len == 0) ++first_;
    }
}

PosixFile::PosixFile(int descriptor, std::string path, const OpenOptions& options)
    : descriptor_(descriptor), path_(std::move(path)), options_(options) {}

PosixFile::~PosixFile() { ::close(descriptor_); }

Result<> PosixFile::check_write(std::uint64_t offset, std::span<const bytes::ByteSpan> pieces) const {
    if (options_.read_only) return fail(Errc::kInvalidArgument, "opened read-only: " + path_);
    return check_pieces(options_.direct, offset, pieces);
}

Result<> PosixFile::check_read(std::uint64_t offset, bytes::MutableByteSpan target) const {
    return check_pieces(options_.direct, offset, std::span<const bytes::MutableByteSpan>(&target, 1));
}

Result<> PosixFile::write_all(IoVector pieces, std::uint64_t offset, bool sync) const {
    int flags = sync ? RWF_DSYNC : 0;
    bool sync_after = false;
    while (!pieces.done()) {
        auto vectors = pieces.next();
        auto count = static_cast<int>(vectors.size());
        auto at = static_cast<off_t>(offset + pieces.transferred());
        ssize_t written = flags == 0 ? ::pwritev(descriptor_, vectors.data(), count, at)
                                     : ::pwritev2(descriptor_, vectors.data(), count, at, flags);
        if (written > 0) {
            pieces.advance(static_cast<std::size_t>(written));
        } else if (written == 0) {
            return fail(Errc::kIo, "write " + path_ + ": the device took nothing");
        } else if (flags != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
            flags = 0;  // an emulated kernel without this flag
            sync_after = true;
        } else if (errno != EINTR) {
            return fail(posix_error(errno, "write", path_));
        }
    }
    return sync_after ? this->sync() : Result<>();
}

bool PosixFile::ends_at(std::size_t count) const {
    // A direct read stops at a whole block unless the file ends, and could not go on from anywhere else.
    return count == 0 || (options_.direct && !is_aligned(count));
}

Result<std::size_t> PosixFile::read_all(IoVector target, std::uint64_t offset) const {
    while (!target.done()) {
        auto vectors = target.next();
        auto at = static_cast<off_t>(offset + target.transferred());
        ssize_t count = ::preadv(descriptor_, vectors.data(), static_cast<int>(vectors.size()), at);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail(posix_error(errno, "read", path_));
        target.advance(static_cast<std::size_t>(count));
        if (ends_at(static_cast<std::size_t>(count))) break;
    }
    return target.transferred();
}

Result<> PosixFile::sync() const {
    if (retry_interrupted([&] { return ::fdatasync(descriptor_); }) != 0) {
        return fail(posix_error(errno, "sync", path_));
    }
    return {};
}

Result<std::uint64_t> PosixFile::size() const {
    struct stat status{};
    if (::fstat(descriptor_, &status) != 0) return fail(posix_error(errno, "stat", path_));
    return static_cast<std::uint64_t>(status.st_size);
}

Result<> PosixFile::resize(std::uint64_t size) const {
    if (options_.read_only) return fail(Errc::kInvalidArgument, "opened read-only: " + path_);
    if (retry_interrupted([&] { return ::ftruncate(descriptor_, static_cast<off_t>(size)); }) != 0) {
        return fail(posix_error(errno, "resize", path_));
    }
    return {};
}

Result<> PosixFile::reserve(std::uint64_t size) const {
    if (options_.read_only) return fail(Errc::kInvalidArgument, "opened read-only: " + path_);
    if (size == 0) return {};
    int failed = retry_interrupted([&] { return ::fallocate(descriptor_, 0, 0, static_cast<off_t>(size)); });
    if (failed != 0 && errno != EOPNOTSUPP && errno != ENOSYS) return fail(posix_error(errno, "reserve", path_));
    return {};
}

Result<> PosixFileCalls::write_blocking(std::uint64_t offset, bytes::ByteSpan data) {
    std::vector<bytes::ByteSpan> pieces{data};
    if (auto checked = file_->check_write(offset, pieces); !checked) return checked;
    return file_->write_all(IoVector(pieces), offset, false);
}

Result<std::size_t> PosixFileCalls::read_blocking(std::uint64_t offset, bytes::MutableByteSpan target) {
    if (auto checked = file_->check_read(offset, target); !checked) return fail(checked.error());
    return file_->read_all(IoVector(target), offset);
}

PosixFileSystem::PosixFileSystem(runtime::Executor& executor)
    : executor_(executor), housekeeping_("io-house", kHousekeepingThreads) {}

Result<std::unique_ptr<File>> PosixFileSystem::open(const std::string& path, const OpenOptions& options) {
    int flags = options.read_only ? O_RDONLY : O_RDWR;
    if (options.create) flags |= O_CREAT;
    if (options.create && options.exclusive) flags |= O_EXCL;
    Descriptor descriptor = open_descriptor(path, options.direct ? flags | O_DIRECT : flags);
    if (descriptor.get() < 0 && errno == EINVAL && options.direct) {
        static std::atomic_flag told;  // once, not with each file
        if (!told.test_and_set()) log::info("{} does not take direct I/O; its file system's cache is used", path);
        // The refused call may have created the file, so it may well exist now.
        return wrap_descriptor(open_descriptor(path, flags & ~O_EXCL).release(), path, options);
    }
    return wrap_descriptor(descriptor.release(), path, options);
}

Result<std::unique_ptr<File>> PosixFileSystem::wrap_descriptor(int descriptor, const std::string& path,
                                                               const OpenOptions& options) {
    if (descriptor < 0) return fail(posix_error(errno, "open", path));
    auto file = std::make_shared<PosixFile>(descriptor, path, options);
    struct stat status{};
    if (::fstat(descriptor, &status) != 0) return fail(posix_error(errno, "stat", path));
    if (S_ISDIR(status.st_mode)) return fail(posix_error(EISDIR, "open", path));
    return wrap(std::move(file));
}

Result<> PosixFileSystem::make_directories(const std::string& path) {
    std::vector<std::filesystem::path> missing;
    std::filesystem::path at = std::filesystem::path(path).lexically_normal();
    if (!at.has_filename()) at = at.parent_path();
    for (; !at.empty(); at = at.parent_path()) {
        struct stat status{};
        if (::stat(at.c_str(), &status) == 0) {
            if (!S_ISDIR(status.st_mode)) return fail(posix_error(ENOTDIR, "create directory", path));
            break;
        }
        if (errno != ENOENT) return fail(posix_error(errno, "create directory", path));
        missing.push_back(at);
    }
    for (auto next = missing.rbegin(); next != missing.rend(); ++next) {
        if (::mkdir(next->c_str(), kDirectoryMode) != 0 && errno != EEXIST) {
            return fail(posix_error(errno, "create directory", next->string()));
        }
        if (auto synced = sync_directory(parent_directory(next->string())); !synced) return synced;
    }
    return {};
}

Result<std::vector<std::string>> PosixFileSystem::list(const std::string& directory) {
    DIR* stream = ::opendir(directory.c_str());
    if (stream == nullptr) return fail(posix_error(errno, "list", directory));
    std::vector<std::string> names;
    errno = 0;
    for (dirent* entry = ::readdir(stream); entry != nullptr; entry = ::readdir(stream)) {
        std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
        errno = 0;
    }
    int error_number = errno;
    ::closedir(stream);
    if (error_number != 0) return fail(posix_error(error_number, "list", directory));
    std::sort(names.begin(), names.end());
    return names;
}

Result<> PosixFileSystem::rename(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) return fail(posix_error(errno, "rename to " + to, from));
    return {};
}

Result<> PosixFileSystem::link(const std::string& from, const std::string& to) {
    if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), 0) == 0) return {};
    int error_number = errno;
    if (error_number == EPERM || error_number == EOPNOTSUPP) {
        return fail(Errc::kUnsupported, "link " + from + " to " + to + ": the file system has no hard links");
    }
    if (error_number == EEXIST) {
        // Over a network the call may have succeeded and its reply been lost; then the repetition finds our own file.
        struct stat ours{};
        struct stat there{};
        if (::lstat(from.c_str(), &ours) == 0 && ::lstat(to.c_str(), &there) == 0 && ours.st_dev == there.st_dev &&
            ours.st_ino == there.st_ino && from != to) {
            return {};
        }
    }
    return fail(posix_error(error_number, "link to " + to, from));
}

Result<> PosixFileSystem::remove(const std::string& path) {
    if (::remove(path.c_str()) != 0) return fail(posix_error(errno, "remove", path));
    return {};
}

Result<bool> PosixFileSystem::exists(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return fail(posix_error(errno, "stat", path));
}

Result<FileStatus> PosixFileSystem::status(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return fail(posix_error(errno, "stat", path));
    FileStatus found;
    found.directory = S_ISDIR(status.st_mode);
    found.regular = S_ISREG(status.st_mode);
    if (!found.directory) found.size = static_cast<std::uint64_t>(status.st_size);
    found.modified_ms = status.st_mtim.tv_sec * std::int64_t{1000} + status.st_mtim.tv_nsec / 1'000'000;
    found.device = status.st_dev;
    return found;
}

Result<> PosixFileSystem::sync_directory(const std::string& path) {
    Descriptor directory = open_descriptor(path, O_RDONLY | O_DIRECTORY);
    if (directory.get() < 0) return fail(posix_error(errno, "open directory", path));
    if (retry_interrupted([&] { return ::fsync(directory.get()); }) != 0) {
        return fail(posix_error(errno, "sync directory", path));
    }
    return {};
}

Result<std::uint64_t> PosixFileSystem::free_bytes(const std::string& path) {
    struct statvfs status{};
    if (retry_interrupted([&] { return ::statvfs(path.c_str(), &status); }) != 0) {
        return fail(posix_error(errno, "statvfs", path));
    }
    return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

Result<std::unique_ptr<FileLock>> PosixFileSystem::lock(const std::string& path) {
    Descriptor descriptor = open_descriptor(path, O_RDWR | O_CREAT);
    if (descriptor.get() < 0) return fail(posix_error(errno, "open", path));
    struct flock whole{};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (::fcntl(descriptor.get(), F_OFD_SETLK, &whole) != 0) {
        if (errno == EAGAIN || errno == EACCES) return fail(Errc::kLocked, path);
        return fail(posix_error(errno, "lock", path));
    }
    return std::make_unique<DescriptorLock>(descriptor.release());
}

void PosixFileSystem::run_blocking(runtime::Task work, runtime::Task done) {
    housekeeping_.submit([&executor = executor_, work = std::move(work), done = std::move(done)](bool open) mutable {
        if (open) work();
        work = nullptr;
        executor.post(std::move(done));
    });
}

}  // namespace millrace::io
