// All that a process tells in figures, as plain values, and their text for Prometheus. docs/metrics.md has a line for
// each of them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "api/grpc/rpc_stats.h"
#include "api/metrics/http_meter.h"
#include "api/metrics/stream_census.h"
#include "container/container.h"
#include "node/options.h"
#include "node/process_stats.h"
#include "store/stats.h"
#include "wal/durable_log.h"
#include "wal/local/journal_stats.h"

namespace millrace::node {

struct StreamFigures {
    std::string scope;
    std::string stream;
    std::uint64_t segments = 0;
    std::array<double, 3> events{};  // per second, by container::TrafficWindow
    std::array<double, 3> bytes{};
};

struct ContainerFigures {
    ContainerId id;
    container::ContainerStats stats;
};

struct MetricsSnapshot {
    BuildInfo build;
    bool ready = false;
    double start_seconds = 0;  // since the epoch
    double uptime_seconds = 0;
    ProcessStats process;
    DiskStats data_disk;
    std::uint64_t log_warnings = 0;
    std::uint64_t log_errors = 0;
    std::uint64_t stalls = 0;
    double longest_stall_seconds = 0;

    wal::LogSpace journal_space;
    std::uint64_t state_damages = 0;
    wal::local::JournalStats journal;
    wal::RecoveryReport recovered;

    std::uint64_t containers = 0;
    std::vector<ContainerFigures> answered;  // of the containers that answered in time

    store::StoreStats store;
    std::vector<api::RpcStats> rpcs;
    metrics::HttpMeter::Values http;

    bool census = false;  // is there one
    std::uint64_t scopes = 0;
    std::uint64_t streams = 0;
    double census_age_seconds = 0;
    std::vector<StreamFigures> named;
};

std::string to_text(const MetricsSnapshot& snapshot);

}  // namespace millrace::node
