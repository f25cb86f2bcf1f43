// The operations of an S3 store as coroutines, shared by the store and its uploads. Errors have no object's name yet.
// Only .cc files of this folder include it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lts/async.h"
#include "lts/chunk_store.h"
#include "lts/s3/client.h"

namespace millrace::lts {

// Whose an object is: the id of the call that wrote it.
inline constexpr std::string_view kIdHeader = "x-amz-meta-millrace-id";

struct S3State {
    ClientRef client;
    std::string prefix;  // "" or "a/b/"

    std::string object(const std::string& key) const { return prefix + "objects/" + key; }
    std::string register_key(const std::string& key) const { return prefix + "registers/" + key; }
    Result<> check_open() const {
        if (client->closed()) return fail(Errc::kClosed, "long-term storage is closed");
        return {};
    }
    Result<> check(const std::string& key, std::uint64_t size, std::uint64_t size_max) const;
};

using S3StateRef = std::shared_ptr<S3State>;

struct FoundObject {
    ObjectStatus status;
    std::string id;  // empty: not written by Millrace
};

std::string_view bare_etag(std::string_view etag);  // without quotes

// One conditional PUT of the whole, and the search for its outcome.
Async<> put_object(S3StateRef state, std::string key, bytes::Chain data, std::string id);
// Nothing when there is no such object.
Async<std::optional<FoundObject>> find_object(S3StateRef state, std::string key);
// Removes what uploads that nobody continues have left on the server.
Async<> sweep_uploads(S3StateRef state);

std::unique_ptr<Upload> make_s3_upload(S3StateRef state, std::string key);

}  // namespace millrace::lts
