#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "lts/s3/client.h"

namespace millrace::lts {
namespace {

std::unexpected<Error> refuse(std::string text) { return fail(Errc::kInvalidArgument, "S3: " + std::move(text)); }

bool is_bucket(std::string_view name) {
    auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
               c == '_';
    };
    return name.size() >= 3 && name.size() <= 63 && std::ranges::all_of(name, plain) && name.front() != '.';
}

bool is_host(std::string_view text) {
    auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
               c == '_' || c == '[' || c == ']' || c == ':';
    };
    return !text.empty() && std::ranges::all_of(text, plain);
}

}  // namespace

Result<Endpoint> resolve_endpoint(const S3Options& options) {
    if (!is_bucket(options.bucket)) return refuse("'bucket' must be the name of a bucket, 3 to 63 characters");
    auto region_char = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    if (options.region.empty() || !std::ranges::all_of(options.region, region_char))
        return refuse("'region' must be a name like us-east-1");
    std::string text = options.endpoint;
    if (text.empty()) text = fmt::format("https://s3.{}.amazonaws.com", options.region);
    std::string_view rest = text;
    bool plain = rest.starts_with("http://");
    if (!plain && !rest.starts_with("https://")) return refuse("'endpoint' must begin with http:// or https://");
    rest.remove_prefix(plain ? 7 : 8);
    while (rest.ends_with('/')) rest.remove_suffix(1);
    if (!is_host(rest)) return refuse("'endpoint' must be http://HOST[:PORT] or https://HOST[:PORT], without a path");
    std::string host(rest);
    std::string_view usual = plain ? ":80" : ":443";
    if (host.ends_with(usual)) host.resize(host.size() - usual.size());
    Endpoint found;
    found.host = options.path_style ? host : options.bucket + "." + host;
    found.origin = (plain ? "http://" : "https://") + found.host;
    found.base_path = options.path_style ? "/" + options.bucket : "";
    return found;
}

}  // namespace millrace::lts
