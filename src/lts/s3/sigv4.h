// AWS Signature Version 4, the header form, for S3: paths are encoded once, the payload's hash is a header. Pure
// functions; the only secret that passes is the key.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bytes/buffer.h"

namespace millrace::lts::sigv4 {

inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Request {
    std::string method;
    std::string path;          // encoded, begins with '/'
    Fields query;              // not encoded
    Fields headers;            // those that are signed; "host" and "x-amz-date" must be among them
    std::string payload_hash;  // hex, or kUnsignedPayload
};

struct Scope {
    std::string timestamp;  // "20130524T000000Z"
    std::string region;
    std::string service = "s3";

    std::string text() const;  // "20130524/us-east-1/s3/aws4_request"
};

std::string timestamp(std::int64_t wall_ms);

// Everything but A-Z a-z 0-9 - _ . ~ becomes %XX; '/' too, unless it is kept.
std::string uri_encode(std::string_view text, bool keep_slash);
// Sorted and encoded as it is signed; the request must carry exactly this.
std::string canonical_query(const Fields& query);

std::string canonical_request(const Request& request);
std::string string_to_sign(const Request& request, const Scope& scope);
std::array<std::uint8_t, 32> signing_key(std::string_view secret, const Scope& scope);
// The value of the Authorization header.
std::string authorization(const Request& request, const Scope& scope, std::string_view access_key,
                          std::string_view secret);

std::string sha256_hex(bytes::ByteSpan data);
std::string sha256_hex(const bytes::Chain& data);

}  // namespace millrace::lts::sigv4
