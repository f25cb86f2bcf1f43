// Everything that can be decided about one process: the rooms' own options, and what is shared by several of them. What
// belongs together is set in one place by settle(): addresses and ports, directories, shares of the cache.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "api/rest/http_server.h"
#include "base/error.h"
#include "base/log.h"
#include "base/units.h"
#include "container/container.h"
#include "controller/scaling_policy.h"
#include "controller/transaction_types.h"
#include "io/file.h"
#include "lts/s3/s3_options.h"
#include "node/states.h"
#include "store/options.h"
#include "wal/local/journal_options.h"

namespace millrace::node {

inline constexpr std::uint32_t kDefaultContainers = 4;
inline constexpr std::uint32_t kMaxContainers = 1024;
inline constexpr std::uint32_t kMaxShards = 256;
inline constexpr std::uint32_t kMaxMetricsStreams = 100'000;

enum class StorageKind : std::uint8_t { kNone, kFilesystem, kS3 };

struct StorageOptions {
    StorageKind kind = StorageKind::kFilesystem;
    std::string directory;  // of kFilesystem; empty: "storage" in the data directory
    lts::S3Options s3;
};

// What the program is; shown, and nothing else.
struct BuildInfo {
    std::string version;
    std::string revision;
    std::string compiler;
};

struct NodeOptions {
    BuildInfo build;
    std::string data_directory = "millrace-data";
    std::string listen = "127.0.0.1";  // IP address
    std::string advertise;             // host name that clients are told; empty: `listen`
    std::uint16_t controller_port = 9090;
    std::uint16_t rest_port = 9091;
    std::uint16_t store_port = 6000;
    log::Level log_level = log::Level::kInfo;
    bool log_json = false;
    std::uint32_t shards = 0;                 // 0: by the number of cores
    std::optional<std::uint32_t> containers;  // none: as the data directory says, or kDefaultContainers for a new one
    std::uint64_t cache_bytes = 160 * kMiB;   // of all containers: recent data
    std::uint64_t storage_cache_bytes = 64 * kMiB;  // of all containers: data read from long-term storage
    std::uint64_t history_rate_bytes = 64 * kMiB;   // a second, to scans of history while appends wait; 0: no bound
    std::uint64_t index_bytes = 512 * kMiB;         // of all containers: places of data that is only in the journal
    std::chrono::milliseconds retention_period{10'000};  // between two looks at streams with a retention policy
    std::chrono::milliseconds watermark_period{10'000};  // between two watermarks of a stream
    StorageOptions storage;
    StatesOptions state;
    io::Backend io = io::Backend::kAuto;
    std::uint32_t metrics_streams = 1000;  // that have figures of their own in /metrics

    container::ContainerOptions container;
    wal::local::JournalOptions journal;
    store::StoreOptions store;
    rest::HttpOptions http;
    controller::TransactionOptions transactions;
    controller::ScalingProfile scaling = controller::ScalingProfile::kFast;
};

// Cores -> shards, where the options name none.
std::uint32_t default_shards(std::uint32_t cores);

// Fills what follows from other options, and makes paths absolute. kInvalidArgument when the options contradict each
// other; the text speaks of options by the names that users know.
Result<> settle(NodeOptions& options);

}  // namespace millrace::node
