// ChunkStore on an object store that speaks S3: Amazon's, Ceph's gateway, and others with conditional writes. Objects
// lie below PREFIX/objects/, registers below PREFIX/registers/ (docs/formats/long-term-storage.md).
//
// What is relied on: a read after a write sees it; PUT honours If-None-Match: * and If-Match. What is not: listings,
// conditions on the end of a multipart upload and on DELETE, and that a request without a reply was not carried out.
#pragma once

#include <memory>

#include "base/error.h"
#include "lts/chunk_store.h"
#include "lts/s3/credentials.h"
#include "lts/s3/http.h"
#include "lts/s3/s3_options.h"
#include "runtime/blocking_pool.h"
#include "runtime/core_loop.h"

namespace millrace::lts {

// Blocking, for start-up: reads the credentials; asks no server. `hashing`, if given, takes the hashing of large
// payloads off the loop; it is stopped before the loop is. Loop and pool outlive the store and its uploads.
Result<std::unique_ptr<ChunkStore>> open_s3_store(runtime::CoreLoop& loop, S3Options options,
                                                  runtime::BlockingPool* hashing);

// The same on any executor and transport.
Result<std::unique_ptr<ChunkStore>> open_s3_store(runtime::Executor& executor, S3Options options,
                                                  Credentials credentials, std::unique_ptr<HttpTransport> transport,
                                                  runtime::BlockingPool* hashing);

}  // namespace millrace::lts
