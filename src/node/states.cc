#include "node/states.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/units.h"
#include "container/state/rocksdb_state_store.h"

namespace millrace::node {
namespace {

constexpr std::size_t kThreads = 3;
constexpr std::size_t kQueue = 4096;
constexpr std::uint64_t kReserve = 256 * kMiB;  // flushes and compactions of what was taken need room

container::state::StateResourceOptions resources(std::uint64_t cache_bytes) {
    container::state::StateResourceOptions options;
    options.cache_bytes = cache_bytes;
    options.write_buffer_bytes = cache_bytes / 2;
    return options;
}

}  // namespace

States::States(StatesOptions options)
    : options_(std::move(options)),
      resources_(std::make_shared<container::state::StateResources>(resources(options_.cache_bytes))),
      pool_(runtime::BlockingPoolOptions{"state", kThreads, kQueue}) {}

States::~States() = default;

std::uint64_t States::damages() const { return resources_->damages(); }

Result<> States::prepare(io::FileSystem& files) {
    if (auto made = files.make_directories(options_.directory); !made) return made;
    return files.sync_directory(std::filesystem::path(options_.directory).parent_path().string());
}

Result<std::unique_ptr<container::state::StateStore>> States::open(ContainerId container, runtime::Executor& executor) {
    container::state::DatabaseOptions options;
    options.directory = fmt::format("{}/{}", options_.directory, container.value());
    options.container = container;
    options.min_free_bytes = kReserve;
    options.write_buffer_bytes = std::clamp<std::size_t>(options_.cache_bytes / 8, 1 * kMiB, 16 * kMiB);
    return container::state::open_rocksdb_state(std::move(options), resources_, pool_, executor);
}

}  // namespace millrace::node
