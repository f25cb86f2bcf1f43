#include "wal/local/journal_file.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/units.h"

namespace millrace::wal::local {
namespace {

constexpr std::uint64_t kZeroChunk = 1 * kMiB;

}  // namespace

Error damaged(const std::string& path, std::uint64_t offset, std::string_view what) {
    return Error(Errc::kCorrupt,
                 fmt::format("journal file {} is damaged at offset {}: {}. Acknowledged data would be lost by going "
                             "on; restore the data directory from a copy, or move it aside to start empty",
                             path, offset, what));
}

Result<std::vector<Generation>> JournalDirectory::prepare() {
    if (auto made = files_->make_directories(path_); !made) return fail(made.error());
    if (auto removed = remove_unfinished(); !removed) return fail(removed.error());
    // A process that was killed may have left names that are not on disk yet; frames must not go into a file that can
    // vanish.
    if (auto synced = files_->sync_directory(path_); !synced) return fail(synced.error());
    auto names = files_->list(path_);
    if (!names) return fail(names.error());
    std::vector<Generation> generations;
    for (const std::string& name : *names) {
        if (auto generation = parse_file_name(name)) generations.push_back(*generation);
    }
    std::sort(generations.begin(), generations.end());
    return generations;
}

Result<> JournalDirectory::remove_unfinished() {
    std::string path = path_of(kUnfinishedFile);
    auto there = files_->exists(path);
    if (!there) return fail(there.error());
    if (!*there) return {};
    return files_->remove(path);
}

Result<> JournalDirectory::write_header(io::File& file, const Uuid& journal, Generation generation,
                                        std::uint64_t bytes) {
    bytes::SlabRef page = bytes::Slab::allocate(kFileHeaderSize);
    encode(FileHeader{journal, generation, bytes}, {page->data(), kFileHeaderSize});
    return file.write_blocking(0, {page->data(), kFileHeaderSize});
}

Result<> JournalDirectory::fill(io::File& file, const Uuid& journal, Generation generation, std::uint64_t bytes) {
    std::uint64_t chunk = std::min(kZeroChunk, bytes);
    bytes::SlabRef zeros = bytes::Slab::allocate(chunk);
    std::memset(zeros->data(), 0, chunk);
    for (std::uint64_t at = 0; at < bytes; at += chunk) {
        std::uint64_t size = std::min(chunk, bytes - at);
        if (auto written = file.write_blocking(at, {zeros->data(), size}); !written) return written;
    }
    if (auto written = write_header(file, journal, generation, bytes); !written) return written;
    return file.sync_blocking();
}

Result<JournalFileRef> JournalDirectory::publish(std::shared_ptr<io::File> file, Generation generation,
                                                 std::uint64_t bytes) {
    auto result = std::make_shared<JournalFile>();
    result->generation = generation;
    result->bytes = bytes;
    result->path = path_of(file_name(generation));
    result->file = std::move(file);
    if (auto renamed = files_->rename(path_of(kUnfinishedFile), result->path); !renamed) return fail(renamed.error());
    if (auto synced = files_->sync_directory(path_); !synced) return fail(synced.error());
    return result;
}

Result<JournalFileRef> JournalDirectory::create(const Uuid& journal, Generation generation, std::uint64_t bytes,
                                                std::uint64_t min_free_bytes) {
    auto available = files_->free_bytes(path_);
    if (!available) return fail(available.error());
    if (*available < bytes || *available - bytes < min_free_bytes) {
        return fail(Errc::kNoSpace,
                    fmt::format("no room for a journal file of {}: {} are free below {}, {} must stay free",
                                format_bytes(bytes), format_bytes(*available), path_, format_bytes(min_free_bytes)));
    }
    if (auto removed = remove_unfinished(); !removed) return fail(removed.error());
    io::OpenOptions options{.create = true, .exclusive = true, .direct = true};
    auto opened = files_->open(path_of(kUnfinishedFile), options);
    if (!opened) return fail(opened.error());
    std::shared_ptr<io::File> file = std::move(*opened);
    if (auto filled = fill(*file, journal, generation, bytes); !filled) {
        file.reset();
        auto removed = remove_unfinished();  // the first error counts; a left-over is removed at the next attempt
        (void)removed;
        return fail(filled.error());
    }
    return publish(std::move(file), generation, bytes);
}

Result<JournalFileRef> JournalDirectory::reuse(const Uuid& journal, JournalFileRef old, Generation generation) {
    if (auto removed = remove_unfinished(); !removed) return fail(removed.error());
    if (auto renamed = files_->rename(old->path, path_of(kUnfinishedFile)); !renamed) return fail(renamed.error());
    if (auto synced = files_->sync_directory(path_); !synced) return fail(synced.error());
    if (auto written = write_header(*old->file, journal, generation, old->bytes); !written) {
        return fail(written.error());
    }
    if (auto synced = old->file->sync_blocking(); !synced) return fail(synced.error());
    return publish(old->file, generation, old->bytes);
}

Result<> JournalDirectory::remove(const JournalFile& old) {
    if (auto removed = files_->remove(old.path); !removed) return removed;
    return files_->sync_directory(path_);
}

Result<JournalDirectory::Opened> JournalDirectory::open(Generation generation) {
    auto result = std::make_shared<JournalFile>();
    result->generation = generation;
    result->path = path_of(file_name(generation));
    auto file = files_->open(result->path, io::OpenOptions{.direct = true});
    if (!file) return fail(file.error());
    result->file = std::move(*file);
    auto size = result->file->size();
    if (!size) return fail(size.error());
    if (*size < kFileHeaderSize) return fail(damaged(result->path, 0, "it is shorter than its header"));
    bytes::SlabRef page = bytes::Slab::allocate(kFileHeaderSize);
    auto read = result->file->read_blocking(0, {page->data(), kFileHeaderSize});
    if (!read) return fail(read.error());
    auto header = decode_file_header({page->data(), *read});
    if (!header && header.error() == Errc::kNewerFormat) {
        return fail(Errc::kNewerFormat,
                    fmt::format("journal file {}: {}; start the newer program on this data directory", result->path,
                                header.error().message()));
    }
    if (!header) return fail(damaged(result->path, 0, header.error().message()));
    if (header->generation != generation) {
        return fail(damaged(result->path, 32,
                            fmt::format("by its header its name should be {}", file_name(header->generation))));
    }
    if (header->file_bytes != *size || *size % kPage != 0 || *size < kMinFileBytes) {
        return fail(
            damaged(result->path, 40, fmt::format("its size is {} bytes and should be {}", *size, header->file_bytes)));
    }
    result->bytes = *size;
    return Opened{std::move(result), header->journal};
}

}  // namespace millrace::wal::local
