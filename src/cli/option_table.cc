#include "cli/option_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>

#include <arpa/inet.h>
#include <fmt/format.h>

namespace millrace::cli {

using node::NodeOptions;

namespace {

constexpr std::size_t kHostNameMax = 253;

std::unexpected<Error> refuse(std::string text) { return fail(Errc::kInvalidArgument, std::move(text)); }

template <typename Number>
Result<> apply_number(const std::string& text, std::uint64_t least, std::uint64_t most, Number& target) {
    std::uint64_t value = 0;
    const char* end = text.data() + text.size();
    auto [stop, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || error != std::errc() || stop != end || value < least || value > most)
        return refuse(fmt::format("it must be a whole number from {} to {}", least, most));
    target = static_cast<Number>(value);
    return {};
}

Result<> apply_port(const std::string& text, std::uint16_t& target) {
    if (auto done = apply_number(text, 0, 65535, target); !done)
        return refuse("it must be a port number, 1 to 65535, or 0 for any free port");
    return {};
}

Result<> apply_size(const std::string& text, std::uint64_t& target) {
    auto bytes = parse_bytes(text);
    if (!bytes) return refuse("it must be a size like 64MiB or 4GiB, or a number of bytes");
    target = *bytes;
    return {};
}

Result<> apply_seconds(const std::string& text, std::chrono::milliseconds& target) {
    std::uint32_t seconds = 0;
    auto done = apply_number(text, 1, 86'400, seconds);
    if (done) target = std::chrono::seconds(seconds);
    return done;
}

Result<> apply_listen(NodeOptions& options, const std::string& text) {
    in6_addr room;
    if (text != "localhost" && inet_pton(AF_INET, text.c_str(), &room) != 1 &&
        inet_pton(AF_INET6, text.c_str(), &room) != 1)
        return refuse("it must be an IPv4 or IPv6 address of this machine, or localhost");
    options.listen = text;
    return {};
}

Result<> apply_advertise(NodeOptions& options, const std::string& text) {
    auto odd = [](char c) { return c <= ' ' || c == '/' || c == '@' || c > '~'; };
    if (text.empty() || text.size() > kHostNameMax || std::ranges::any_of(text, odd))
        return refuse("it must be a host name or an address, without port");
    options.advertise = text;
    return {};
}

Result<> apply_data_dir(NodeOptions& options, const std::string& text) {
    if (text.empty()) return refuse("it must be the path of a directory");
    options.data_directory = text;
    return {};
}

Result<> apply_log_level(NodeOptions& options, const std::string& text) {
    if (!log::parse_level(text, options.log_level)) return refuse("it must be trace, debug, info, warn, error or off");
    return {};
}

Result<> apply_log_format(NodeOptions& options, const std::string& text) {
    if (text != "text" && text != "json") return refuse("it must be text or json");
    options.log_json = text == "json";
    return {};
}

Result<> apply_io(NodeOptions& options, const std::string& text) {
    if (text == "auto")
        options.io = io::Backend::kAuto;
    else if (text == "uring")
        options.io = io::Backend::kUring;
    else if (text == "threads")
        options.io = io::Backend::kThreads;
    else
        return refuse("it must be auto, uring or threads");
    return {};
}

Result<> apply_storage(NodeOptions& options, const std::string& text) {
    if (text == "filesystem")
        options.storage.kind = node::StorageKind::kFilesystem;
    else if (text == "s3")
        options.storage.kind = node::StorageKind::kS3;
    else if (text == "none")
        options.storage.kind = node::StorageKind::kNone;
    else
        return refuse("it must be filesystem, s3 or none");
    return {};
}

Result<> apply_scaling(NodeOptions& options, const std::string& text) {
    if (text != "fast" && text != "pravega") return refuse("it must be fast or pravega");
    options.scaling = text == "fast" ? controller::ScalingProfile::kFast : controller::ScalingProfile::kPravega;
    return {};
}

template <std::string lts::S3Options::* Member>
Result<> apply_s3(NodeOptions& options, const std::string& text) {
    auto odd = [](char c) { return c <= ' ' || c > '~'; };
    if (text.empty() || std::ranges::any_of(text, odd)) return refuse("it must be text without spaces");
    options.storage.s3.*Member = text;
    return {};
}

template <std::string lts::S3Options::* Member>
Result<> apply_s3_path(NodeOptions& options, const std::string& text) {
    options.storage.s3.*Member = text;
    return {};
}

Result<> apply_s3_style(NodeOptions& options, const std::string& text) {
    if (text != "path" && text != "host") return refuse("it must be path (HOST/BUCKET/KEY) or host (BUCKET.HOST/KEY)");
    options.storage.s3.path_style = text == "path";
    return {};
}

Result<> apply_containers(NodeOptions& options, const std::string& text) {
    std::uint32_t containers = 0;
    if (auto done = apply_number(text, 1, node::kMaxContainers, containers); !done) return done;
    options.containers = containers;
    return {};
}

Result<> apply_prepared(NodeOptions& options, const std::string& text) {
    if (text != "keep" && text != "expire") return refuse("it must be keep or expire");
    options.transactions.keep_prepared = text == "keep";
    return {};
}

Result<> apply_prepared_bytes(NodeOptions& options, const std::string& text) {
    std::uint64_t bytes = 0;
    if (auto done = apply_size(text, bytes); !done) return done;
    if (bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return refuse("it must be less than 8 EiB");
    options.transactions.kept_bytes_limit = static_cast<std::int64_t>(bytes);
    return {};
}

Result<> apply_lease_max(NodeOptions& options, const std::string& text) {
    std::uint32_t seconds = 0;
    if (auto done = apply_number(text, 10, 86'400, seconds); !done) return done;
    options.transactions.lease_max = std::chrono::seconds(seconds);
    return {};
}

constexpr std::array kOptions{
    OptionSpec{"data-dir", "DIR", "./millrace-data",
               "Where everything is kept. Made if missing; one process at a time.", apply_data_dir},
    OptionSpec{"listen", "ADDRESS", "127.0.0.1",
               "Address to listen on. 0.0.0.0 or :: is every address of the machine, and needs --advertise.",
               apply_listen},
    OptionSpec{"advertise", "HOST", "the listen address",
               "Host name or address by which clients reach this machine; they are told so by the controller.",
               apply_advertise},
    OptionSpec{"controller-port", "PORT", "9090", "Controller, gRPC: what clients are configured with.",
               [](NodeOptions& o, const std::string& text) { return apply_port(text, o.controller_port); }},
    OptionSpec{"rest-port", "PORT", "9091", "REST API: scopes, streams, health.",
               [](NodeOptions& o, const std::string& text) { return apply_port(text, o.rest_port); }},
    OptionSpec{"store-port", "PORT", "6000",
               "Segment store: where clients write and read, as the controller tells them.",
               [](NodeOptions& o, const std::string& text) { return apply_port(text, o.store_port); }},
    OptionSpec{"log-level", "LEVEL", "info", "trace, debug, info, warn, error or off.", apply_log_level},
    OptionSpec{"log-format", "FORMAT", "text", "text, or json: one object a line. Logs go to stderr.",
               apply_log_format},
    OptionSpec{
        "shards", "N", "by the number of cores", "Event loops, each in a thread of its own, that serve segments.",
        [](NodeOptions& o, const std::string& text) { return apply_number(text, 1, node::kMaxShards, o.shards); }},
    OptionSpec{"containers", "N", "4", "Parts in which segments are divided. Fixed when the data directory is made.",
               apply_containers},
    OptionSpec{"cache", "SIZE", "160MiB", "Memory for recent data, which readers at the tail get without the disk.",
               [](NodeOptions& o, const std::string& text) { return apply_size(text, o.cache_bytes); }},
    OptionSpec{"journal-limit", "SIZE", "64GiB", "Most that the journal may take of the disk.",
               [](NodeOptions& o, const std::string& text) { return apply_size(text, o.journal.limit_bytes); }},
    OptionSpec{"journal-file", "SIZE", "64MiB", "Size of one journal file.",
               [](NodeOptions& o, const std::string& text) { return apply_size(text, o.journal.file_bytes); }},
    OptionSpec{
        "storage", "KIND", "filesystem",
        "Long-term storage, where data goes from the journal: filesystem, s3, or none (all stays in the journal).",
        apply_storage},
    OptionSpec{"storage-dir", "DIR", "DATA-DIR/storage", "Directory of the objects, for storage = filesystem.",
               [](NodeOptions& o, const std::string& text) {
                   o.storage.directory = text;
                   return Result<>();
               }},
    OptionSpec{"state-cache", "SIZE", "64MiB",
               "Memory for what is known of segments, writers and tables beside their data.",
               [](NodeOptions& o, const std::string& text) { return apply_size(text, o.state.cache_bytes); }},
    OptionSpec{
        "replay-limit", "SIZE", "256MiB", "Most of the journal that a start has to apply again.",
        [](NodeOptions& o, const std::string& text) { return apply_size(text, o.container.checkpoint_log_bytes); }},
    OptionSpec{"storage-cache", "SIZE", "64MiB", "Memory for data that is read from long-term storage.",
               [](NodeOptions& o, const std::string& text) { return apply_size(text, o.storage_cache_bytes); }},
    OptionSpec{"history-rate", "SIZE", "64MiB",
               "What readers of history get a second while appends wait for the journal; 0: as much as there is.",
               [](NodeOptions& o, const std::string& text) { return apply_size(text, o.history_rate_bytes); }},
    OptionSpec{
        "flush-size", "SIZE", "24MiB", "So much of a container only in the journal is moved to long-term storage.",
        [](NodeOptions& o, const std::string& text) { return apply_size(text, o.container.tiering.flush_bytes); }},
    OptionSpec{"flush-seconds", "N", "10", "And less than that after so many seconds.",
               [](NodeOptions& o, const std::string& text) {
                   std::uint32_t seconds = 0;
                   auto done = apply_number(text, 1, 86'400, seconds);
                   if (done) o.container.tiering.flush_after = std::chrono::seconds(seconds);
                   return done;
               }},
    OptionSpec{"retention-seconds", "N", "10", "How often streams with a retention policy are looked at.",
               [](NodeOptions& o, const std::string& text) { return apply_seconds(text, o.retention_period); }},
    OptionSpec{"watermark-seconds", "N", "10", "How often a stream gets a watermark, if its writers note times.",
               [](NodeOptions& o, const std::string& text) { return apply_seconds(text, o.watermark_period); }},
    OptionSpec{"s3-endpoint", "URL", "Amazon's, of the region", "http://HOST:PORT or https://HOST[:PORT].",
               apply_s3<&lts::S3Options::endpoint>},
    OptionSpec{"s3-region", "NAME", "us-east-1", "Region, as the S3 server calls it.",
               apply_s3<&lts::S3Options::region>},
    OptionSpec{"s3-bucket", "NAME", "none", "Bucket; it must exist.", apply_s3<&lts::S3Options::bucket>},
    OptionSpec{"s3-prefix", "PREFIX", "none", "Before all keys, so that several clusters can share a bucket.",
               apply_s3<&lts::S3Options::prefix>},
    OptionSpec{"s3-style", "STYLE", "path", "Addresses: path (HOST/BUCKET/KEY) or host (BUCKET.HOST/KEY).",
               apply_s3_style},
    OptionSpec{"s3-access-key", "KEY", "as AWS tools find it", "Or AWS_ACCESS_KEY_ID, or a credentials file.",
               apply_s3<&lts::S3Options::access_key>},
    OptionSpec{"s3-secret-key", "KEY", "as AWS tools find it",
               "Better not on the command line, which others can see: MILLRACE_S3_SECRET_KEY, AWS_SECRET_ACCESS_KEY or "
               "a file.",
               [](NodeOptions& o, const std::string& text) {
                   o.storage.s3.secret_key = lts::Secret(text);
                   return Result<>();
               }},
    OptionSpec{"s3-credentials-file", "FILE", "~/.aws/credentials", "In the form of AWS tools.",
               apply_s3_path<&lts::S3Options::credentials_file>},
    OptionSpec{"s3-profile", "NAME", "default", "Section of the credentials file.", apply_s3<&lts::S3Options::profile>},
    OptionSpec{"s3-ca-file", "FILE", "the system's", "Certificates that an https endpoint is checked against.",
               apply_s3_path<&lts::S3Options::ca_file>},
    OptionSpec{
        "metrics-streams", "N", "1000",
        "So many streams have figures of their own in /metrics, the first ones by name; all others by asking for "
        "them.",
        [](NodeOptions& o, const std::string& text) {
            return apply_number(text, 0, node::kMaxMetricsStreams, o.metrics_streams);
        }},
    OptionSpec{"transaction-lease-max", "SECONDS", "600", "Longest time that a transaction may go without a ping.",
               apply_lease_max},
    OptionSpec{"prepared-transactions", "KIND", "expire",
               "A transaction with data whose lease is over: expire (it is aborted) or keep (until it is committed or "
               "aborted). A stream's tag millrace.prepared=keep or millrace.prepared=expire goes first.",
               apply_prepared},
    OptionSpec{"prepared-limit", "N", "1000", "Kept transactions of one stream, beyond which it begins no new ones.",
               [](NodeOptions& o, const std::string& text) {
                   return apply_number(text, 1, 1'000'000, o.transactions.kept_limit);
               }},
    OptionSpec{"prepared-bytes", "SIZE", "64GiB", "And bytes of them.", apply_prepared_bytes},
    OptionSpec{
        "scaling-profile", "PROFILE", "fast",
        "How streams scale by their load: fast (splits within seconds, lazy merges), or pravega: its windows of 2 "
        "to 20 minutes and its cooldowns. With pravega, a segment becomes at most its policy's scaleFactor at a time.",
        apply_scaling},
    OptionSpec{"io", "KIND", "auto",
               "How files are written: uring (io_uring), threads, or auto: uring where it is allowed.", apply_io},
};

}  // namespace

std::span<const OptionSpec> standalone_options() { return kOptions; }

const OptionSpec* find_option(std::string_view name) {
    auto found = std::ranges::find(kOptions, name, &OptionSpec::name);
    return found == kOptions.end() ? nullptr : &*found;
}

std::vector<std::string_view> option_names() {
    std::vector<std::string_view> names;
    names.reserve(kOptions.size());
    for (const OptionSpec& option : kOptions) names.push_back(option.name);
    return names;
}

std::string environment_name(std::string_view option) {
    std::string name = "MILLRACE_";
    for (char c : option) name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    return name;
}

}  // namespace millrace::cli
