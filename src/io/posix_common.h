// What the thread pool and io_uring share: the POSIX side of files and names. Everything here blocks and may be called
// from any thread; the asynchronous calls are added by the two implementations.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sys/uio.h>

#include "io/blocking_pool.h"
#include "io/file.h"

namespace millrace::io {

// The error of a system call: "open /data/journal: Permission denied". Codes follow what a caller can do about it.
Error posix_error(int error_number, const std::string& action, const std::string& path);

// The rest of a transfer over several pieces of memory.
class IoVector {
  public:
    IoVector() = default;
    explicit IoVector(const std::vector<bytes::ByteSpan>& pieces);
    explicit IoVector(bytes::MutableByteSpan target);

    bool done() const { return first_ == vectors_.size(); }
    std::size_t transferred() const { return transferred_; }
    std::span<const iovec> next()
        const;  // at most IOV_MAX; stays valid until advance() or destruction, also across moves
    void advance(std::size_t count);

  private:
    std::vector<iovec> vectors_;
    std::size_t first_ = 0;
    std::size_t transferred_ = 0;
};

// An open file descriptor, shared by the File and by operations under way, closed with the last of them.
class PosixFile {
  public:
    PosixFile(int descriptor, std::string path, const OpenOptions& options);
    ~PosixFile();
    PosixFile(const PosixFile&) = delete;
    PosixFile& operator=(const PosixFile&) = delete;

    int descriptor() const { return descriptor_; }
    const std::string& path() const { return path_; }

    Result<> check_write(std::uint64_t offset, std::span<const bytes::ByteSpan> pieces) const;
    Result<> check_read(std::uint64_t offset, bytes::MutableByteSpan target) const;

    Result<> write_all(IoVector pieces, std::uint64_t offset, bool sync) const;
    Result<std::size_t> read_all(IoVector target, std::uint64_t offset) const;
    Result<> sync() const;
    Result<std::uint64_t> size() const;
    Result<> resize(std::uint64_t size) const;
    Result<> reserve(std::uint64_t size) const;

    // A read of `count` bytes was smaller than asked for: is that the end of the file? (If not, the rest is worth
    // another call.)
    bool ends_at(std::size_t count) const;

  private:
    int descriptor_;
    std::string path_;
    OpenOptions options_;
};

using PosixFileRef = std::shared_ptr<const PosixFile>;

// The blocking half of a File.
class PosixFileCalls : public File {
  public:
    explicit PosixFileCalls(PosixFileRef file) : file_(std::move(file)) {}

    Result<> write_blocking(std::uint64_t offset, bytes::ByteSpan data) override;
    Result<std::size_t> read_blocking(std::uint64_t offset, bytes::MutableByteSpan target) override;
    Result<> sync_blocking() override { return file_->sync(); }
    Result<std::uint64_t> size() override { return file_->size(); }
    Result<> resize(std::uint64_t size) override { return file_->resize(size); }
    Result<> reserve(std::uint64_t size) override { return file_->reserve(size); }

  protected:
    PosixFileRef file_;
};

// Names, locks and housekeeping.
class PosixFileSystem : public FileSystem {
  public:
    explicit PosixFileSystem(runtime::Executor& executor);

    Result<std::unique_ptr<File>> open(const std::string& path, const OpenOptions& options) override;
    Result<> make_directories(const std::string& path) override;
    Result<std::vector<std::string>> list(const std::string& directory) override;
    Result<> rename(const std::string& from, const std::string& to) override;
    Result<> link(const std::string& from, const std::string& to) override;
    Result<> remove(const std::string& path) override;
    Result<bool> exists(const std::string& path) override;
    Result<FileStatus> status(const std::string& path) override;
    Result<> sync_directory(const std::string& path) override;
    Result<std::uint64_t> free_bytes(const std::string& path) override;
    Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;
    void run_blocking(runtime::Task work, runtime::Task done) override;

  protected:
    virtual std::unique_ptr<File> wrap(PosixFileRef file) = 0;
    void stop_housekeeping() { housekeeping_.stop(); }  // first thing in the destructor of the most derived class

    runtime::Executor& executor_;

  private:
    Result<std::unique_ptr<File>> wrap_descriptor(int descriptor, const std::string& path, const OpenOptions& options);

    BlockingPool housekeeping_;
};

}  // namespace millrace::io
