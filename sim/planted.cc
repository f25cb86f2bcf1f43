#include "sim/planted.h"

#include <cstring>
#include <vector>

#include "container/operation.h"
#include "wal/local/frame_format.h"

namespace millrace::sim {
namespace {

constexpr std::string_view kNames[] = {"nothing",     "ack-before-sync",  "no-directory-sync", "reused-generation",
                                       "early-sweep", "forgotten-writer", "lost-flush"};

class PlantedFile final : public io::File {
  public:
    PlantedFile(std::unique_ptr<io::File> inner, Planted planted) : inner_(std::move(inner)), planted_(planted) {}

    void write(std::uint64_t offset, std::vector<bytes::ByteSpan> pieces, bool sync,
               runtime::Callback<Result<>> done) override {
        if (planted_ == Planted::kReusedGeneration && before_) {
            // As direct writes want it: aligned memory.
            std::size_t size = 0;
            for (const bytes::ByteSpan& piece : pieces) size += piece.size();
            bytes::SlabRef copy = bytes::Slab::allocate(size);
            std::size_t at = 0;
            for (const bytes::ByteSpan& piece : pieces) {
                std::memcpy(copy->data() + at, piece.data(), piece.size());
                at += piece.size();
            }
            age(offset, {copy->data(), size});
            pieces.assign(1, bytes::ByteSpan(copy->data(), size));
            done = [copy, done = std::move(done)](Result<> result) mutable { done(std::move(result)); };
        }
        inner_->write(offset, std::move(pieces), sync && planted_ != Planted::kAckBeforeSync, std::move(done));
    }
    void read(std::uint64_t offset, bytes::MutableByteSpan target,
              runtime::Callback<Result<std::size_t>> done) override {
        inner_->read(offset, target, std::move(done));
    }
    void sync(runtime::Callback<Result<>> done) override { inner_->sync(std::move(done)); }
    Result<> write_blocking(std::uint64_t offset, bytes::ByteSpan data) override {
        learn(offset, data);
        return inner_->write_blocking(offset, data);
    }
    Result<std::size_t> read_blocking(std::uint64_t offset, bytes::MutableByteSpan target) override {
        auto read = inner_->read_blocking(offset, target);
        if (read) learn(offset, target.first(*read));
        return read;
    }
    Result<> sync_blocking() override { return inner_->sync_blocking(); }
    Result<std::uint64_t> size() override { return inner_->size(); }
    Result<> resize(std::uint64_t size) override { return inner_->resize(size); }

  private:
    // The journal writes the file's header with its generation when it takes the file into use, for the first time or
    // again.
    void learn(std::uint64_t offset, bytes::ByteSpan data) {
        using namespace wal::local;
        if (offset != 0 || data.size() < kFileHeaderSize) return;
        auto header = decode_file_header(data.first(kFileHeaderSize));
        if (!header) return;
        if (header_ && header_->generation != header->generation) before_ = header_->generation;
        header_ = *header;
    }
    void age(std::uint64_t offset, bytes::MutableByteSpan pages) {
        using namespace wal::local;
        for (std::size_t at = 0; at + kFrameHeaderSize <= pages.size(); at += kPage) {
            auto decoded = decode_frame_header(pages.subspan(at), header_->journal, header_->generation, offset + at);
            if (!decoded) continue;
            decoded->header.generation = *before_;
            encode(decoded->header, header_->journal, offset + at, pages.data() + at);
        }
    }

    std::unique_ptr<io::File> inner_;
    Planted planted_;
    std::optional<wal::local::FileHeader> header_;
    std::optional<wal::local::Generation> before_;  // of a recycled file
};

class PlantedFileSystem final : public io::FileSystem {
  public:
    PlantedFileSystem(io::FileSystem& inner, Planted planted) : inner_(inner), planted_(planted) {}

    Result<std::unique_ptr<io::File>> open(const std::string& path, const io::OpenOptions& options) override {
        auto file = inner_.open(path, options);
        if (!file) return file;
        return std::make_unique<PlantedFile>(std::move(*file), planted_);
    }
    Result<> make_directories(const std::string& path) override { return inner_.make_directories(path); }
    Result<std::vector<std::string>> list(const std::string& directory) override { return inner_.list(directory); }
    Result<> rename(const std::string& from, const std::string& to) override { return inner_.rename(from, to); }
    Result<> link(const std::string& from, const std::string& to) override { return inner_.link(from, to); }
    Result<> remove(const std::string& path) override { return inner_.remove(path); }
    Result<bool> exists(const std::string& path) override { return inner_.exists(path); }
    Result<io::FileStatus> status(const std::string& path) override { return inner_.status(path); }
    Result<> sync_directory(const std::string& path) override {
        if (planted_ == Planted::kNoDirectorySync) return {};
        return inner_.sync_directory(path);
    }
    Result<std::uint64_t> free_bytes(const std::string& path) override { return inner_.free_bytes(path); }
    Result<std::unique_ptr<io::FileLock>> lock(const std::string& path) override { return inner_.lock(path); }
    void run_blocking(runtime::Task work, runtime::Task done) override {
        inner_.run_blocking(std::move(work), std::move(done));
    }
    std::string description() const override { return inner_.description(); }

  private:
    io::FileSystem& inner_;
    Planted planted_;
};

}  // namespace

std::optional<Planted> parse_planted(std::string_view name) {
    for (std::size_t i = 0; i < std::size(kNames); ++i) {
        if (kNames[i] == name) return static_cast<Planted>(i);
    }
    return std::nullopt;
}

std::string_view to_string(Planted planted) { return kNames[static_cast<std::size_t>(planted)]; }

std::unique_ptr<io::FileSystem> plant(io::FileSystem& inner, Planted planted) {
    return std::make_unique<PlantedFileSystem>(inner, planted);
}

// In place, so that every byte keeps its address: the writer's id becomes that of nobody.
Result<> ForgetfulVisitor::frame(ContainerId id, const wal::Appended& where, bytes::ByteSpan payload) {
    using namespace container;
    std::vector<std::uint8_t> changed(payload.begin(), payload.end());
    constexpr std::size_t kWriterAt = kRecordHeader + kAppendFixed;
    std::size_t at = kPayloadHeader;
    while (at + kRecordHeader <= changed.size()) {
        auto size = bytes::load_le<std::uint32_t>(changed.data() + at + 4);
        bool has_writer = changed[at] == static_cast<std::uint8_t>(RecordType::kAppend) &&
                          (changed[at + 1] & kFlagWriter) != 0 && at + kWriterAt + 16 <= changed.size();
        if (has_writer) std::memset(changed.data() + at + kWriterAt, 0xee, 16);
        at += kRecordHeader + size;
    }
    return inner_.frame(id, where, changed);
}

}  // namespace millrace::sim
