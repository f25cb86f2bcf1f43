// What an S3 store is told: see docs/configuration.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "base/units.h"

namespace millrace::lts {

// A text that no log and no error shows: it has to be asked for by name.
class Secret {
  public:
    Secret() = default;
    explicit Secret(std::string text) : text_(std::move(text)) {}
    const std::string& reveal() const { return text_; }
    bool empty() const { return text_.empty(); }

  private:
    std::string text_;
};

struct S3Options {
    std::string endpoint;  // "http://host:port" or "https://host"; empty: Amazon's, of the region
    std::string region = "us-east-1";
    std::string bucket;      // must exist
    std::string prefix;      // before all keys: "" or "cluster-a" or "cluster-a/tier"
    bool path_style = true;  // http://host/bucket/key; otherwise http://bucket.host/key

    // Where the keys come from, the first that is given: these; the file; the environment (AWS_ACCESS_KEY_ID,
    // AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN); the file that AWS_SHARED_CREDENTIALS_FILE names, or
    // ~/.aws/credentials.
    std::string access_key;
    Secret secret_key;
    Secret session_token;
    std::string credentials_file;
    std::string profile;  // section of a file; empty: AWS_PROFILE, or "default"

    std::string ca_file;  // of an endpoint with a certificate of its own; empty: the system's
    std::string proxy;    // "http://host:port"; empty: none, whatever the environment says

    std::chrono::milliseconds connect_timeout{3'000};
    std::chrono::milliseconds request_timeout{15'000};    // of one attempt, besides the time for its bytes
    std::uint64_t bytes_per_second_min = 512 * kKiB;      // a slower transfer is given up
    std::chrono::milliseconds operation_timeout{60'000};  // of an operation with all its attempts
    std::uint32_t attempts_max = 8;
    std::chrono::milliseconds backoff_first{50};  // doubles up to backoff_max; the pause is random up to that
    std::chrono::milliseconds backoff_max{5'000};
    std::uint32_t requests_max = 32;  // at the same time

    std::uint64_t part_bytes = 16 * kMiB;                            // of an upload; 5 MiB or more, as servers demand
    std::uint32_t parts_in_flight = 4;                               // of one upload
    std::chrono::milliseconds abandoned_upload_age{24 * 3'600'000};  // older unfinished uploads are removed at open

    // The payload's SHA-256 is part of the signature: what arrives damaged is refused. Without: less work, for https.
    bool sign_payload = true;
};

}  // namespace millrace::lts
