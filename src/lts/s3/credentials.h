// Where the keys of S3 come from. Blocking: reads a file.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "lts/s3/s3_options.h"

namespace millrace::lts {

struct Credentials {
    std::string access_key;
    Secret secret_key;
    Secret session_token;  // empty: none
};

using Environment = std::function<std::optional<std::string>(std::string_view name)>;

std::optional<std::string> process_environment(std::string_view name);

// kInvalidArgument says where keys were looked for; no text holds a part of a key.
Result<Credentials> find_credentials(const S3Options& options, const Environment& environment);

// The text of a credentials file: sections "[profile]", lines "aws_access_key_id = ...", comments after # or ;.
Result<Credentials> parse_credentials(std::string_view text, std::string_view profile);

}  // namespace millrace::lts
