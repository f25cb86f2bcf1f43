#include "node/options.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <thread>

#include <fmt/format.h>

namespace millrace::node {
namespace {

constexpr std::uint32_t kFewCores = 2;
constexpr std::uint32_t kManyShards = 8;

bool is_wildcard(const std::string& address) { return address == "0.0.0.0" || address == "::"; }

Result<> check_ports(const NodeOptions& options) {
    const std::array<std::pair<std::string_view, std::uint16_t>, 3> ports{{{"controller-port", options.controller_port},
                                                                           {"rest-port", options.rest_port},
                                                                           {"store-port", options.store_port}}};
    for (std::size_t i = 0; i < ports.size(); ++i) {
        for (std::size_t j = i + 1; j < ports.size(); ++j) {
            if (ports[i].second != ports[j].second || ports[i].second == 0) continue;
            return fail(Errc::kInvalidArgument, fmt::format("{} and {} are both {}; each needs a port of its own",
                                                            ports[i].first, ports[j].first, ports[i].second));
        }
    }
    return {};
}

}  // namespace

std::uint32_t default_shards(std::uint32_t cores) { return cores <= kFewCores ? 1 : std::min(cores / 2, kManyShards); }

Result<> settle(NodeOptions& options) {
    if (auto ports = check_ports(options); !ports) return ports;
    if (options.listen == "localhost") options.listen = "127.0.0.1";
    if (options.advertise.empty() && is_wildcard(options.listen)) {
        return fail(
            Errc::kInvalidArgument,
            fmt::format("listen = {} means every address of this machine, so clients must be told which one to use: "
                        "set advertise to the host name or address by which they reach it",
                        options.listen));
    }
    if (options.advertise.empty()) options.advertise = options.listen;
    if (options.shards == 0) options.shards = default_shards(std::thread::hardware_concurrency());

    std::error_code error;
    auto path = std::filesystem::weakly_canonical(std::filesystem::absolute(options.data_directory, error), error);
    if (error) {
        return fail(Errc::kInvalidArgument,
                    fmt::format("data directory {}: {}", options.data_directory, error.message()));
    }
    options.data_directory = path.string();
    options.journal.directory = options.data_directory + "/journal";
    options.state.directory = options.data_directory + "/state";
    if (options.storage.directory.empty()) options.storage.directory = options.data_directory + "/storage";
    if (options.storage.kind == StorageKind::kS3 && options.storage.s3.bucket.empty()) {
        return fail(Errc::kInvalidArgument, "storage = s3 needs s3-bucket, the name of a bucket that exists");
    }
    options.store.address = options.listen;
    options.store.port = options.store_port;
    options.http.address = options.listen;
    options.http.port = options.rest_port;
    return wal::local::validate(options.journal);
}

}  // namespace millrace::node
