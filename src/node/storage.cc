#include "node/storage.h"

#include <filesystem>

#include <fmt/format.h>

#include "base/units.h"
#include "lts/filesystem/filesystem_store.h"
#include "lts/s3/s3_store.h"

namespace millrace::node {
namespace {

// Less than the journal keeps free for the next start, more than the states do, which do not get over a full disk.
constexpr std::uint64_t kReserve = 384 * kMiB;

}  // namespace

bool Storage::is_beside(io::FileSystem& files, const std::string& path) const {
    if (options_.kind != StorageKind::kFilesystem) return false;
    auto there = files.status(path);
    // The directory is made when it is opened first.
    std::filesystem::path place = std::filesystem::absolute(options_.directory).lexically_normal();
    while (true) {
        auto found = files.status(place.string());
        if (found) return there && found->device == there->device;
        if (!place.has_relative_path()) return false;
        place = place.parent_path();
    }
}

Result<std::unique_ptr<lts::ChunkStore>> Storage::open(runtime::CoreLoop& loop, bool may_be_away) {
    Result<std::unique_ptr<lts::ChunkStore>> store;
    switch (options_.kind) {
        case StorageKind::kNone:
            return store;
        case StorageKind::kFilesystem: {
            auto& files = files_[&loop];
            if (!files) {
                auto made = io::make_file_system(loop, io::Backend::kThreads);
                if (!made) return fail(made.error());
                files = std::move(*made);
            }
            lts::FilesystemOptions place;
            place.directory = options_.directory;
            place.min_free_bytes = kReserve;
            place.may_be_away = may_be_away;
            store = lts::open_filesystem_store(loop, *files, std::move(place));
            break;
        }
        case StorageKind::kS3:
            if (!hashing_)
                hashing_ = std::make_unique<runtime::BlockingPool>(runtime::BlockingPoolOptions{"hashing", 2, 256});
            store = lts::open_s3_store(loop, options_.s3, hashing_.get());
            break;
    }
    if (!store) return fail(store.error().code(), fmt::format("long-term storage: {}", store.error().message()));
    description_ = (*store)->description();
    return store;
}

void Storage::stop() {
    if (hashing_) hashing_->stop();
}

}  // namespace millrace::node
