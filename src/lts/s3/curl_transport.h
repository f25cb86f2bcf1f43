// HttpTransport on libcurl, driven by a core loop: curl says which sockets and which moment it waits for, Asio waits,
// and no thread blocks. Connections are kept and used again. Redirects are not followed.
#pragma once

#include <memory>

#include "lts/s3/http.h"
#include "lts/s3/s3_options.h"
#include "runtime/core_loop.h"

namespace millrace::lts {

// Life cycle: destroyed on the loop's thread, or when it does not run; the loop outlives it.
std::unique_ptr<HttpTransport> make_curl_transport(runtime::CoreLoop& loop, const S3Options& options);

}  // namespace millrace::lts
