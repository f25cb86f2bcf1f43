// ChunkStore: the contract of long-term storage. Two things are kept: objects, which are written once as a whole and
// never change, and registers, small values that are replaced under a condition, by which a stale owner is fenced.
// filesystem/ keeps the contract on a shared or local file system, s3/ on an object store.
//
//   store.put_if_absent("container-3/chunk-17-000042", data, [](Result<> put) { ... });
//   store.read("container-3/chunk-17-000042", 4096, 65536, [](Result<bytes::Slice> part) { ... });
//
// Promises. A put or a finished upload that succeeded is durable and complete, and is read as written by everybody who
// asks from then on; an object is never seen half-written. list() may lag behind: it may miss what is new and show what
// is gone, so an object that it does not name is not thereby absent (stat() tells).
//
// Outcomes. An attempt whose outcome is unknown (a timeout, a lost reply, a server error) is looked up and told as what
// it was. What cannot be looked up either, because storage stays unreachable, ends with an error that is_retryable()
// (errors.h): then the object may or may not be there. Repeat with another key and sweep the first one later, or ask
// stat(); for registers read_register() tells.
//
// Errors (errors.h) name the object first in their text:
//   kNotFound         there is no such object
//   kExists           another one has this key
//   kBadVersion       the register was changed by somebody else: its owner is fenced. (Error::value is 1 if an attempt
//                     had an unknown outcome: our value may have been there for a moment, before somebody's.)
//   kCorrupt          the object is shorter than the range asked for (Error::value: its size), or a register is damaged
//   kNoSpace          the store is full
//   kUnavailable      not reachable, too slow, or throttled, in spite of retries
//   kInvalidArgument  key, size or configuration (credentials, bucket, permissions) are refused
//   kLimit            larger than a limit below
//   kIo               the device failed
//   kClosed           the store was destroyed
//
// Thread rule: everything on the executor that the store was opened with. A completion comes exactly once, on it, never
// from inside the call. Life cycle: destroyed on the executor's thread, or when it does not run; operations under way
// then end with kClosed or as they do. Uploads may outlive their store.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "bytes/buffer.h"
#include "runtime/executor.h"

namespace millrace::lts {

// Keys: components divided by '/', each 1 to 200 characters of A-Z a-z 0-9 . _ - =, not beginning with '.'. No key may
// be the folder of another one ("a" and "a/b"): a file system cannot hold both. The same holds for registers, whose
// names are a space of their own.
inline constexpr std::size_t kKeySizeMax = 512;
inline constexpr std::size_t kKeyComponentMax = 200;

inline constexpr std::uint64_t kPutSizeMax = std::uint64_t{256} << 20;    // of one put_if_absent()
inline constexpr std::uint64_t kUploadSizeMax = std::uint64_t{64} << 30;  // of one upload
inline constexpr std::uint64_t kReadSizeMax = std::uint64_t{64} << 20;    // of one read()
inline constexpr std::size_t kRegisterSizeMax = std::size_t{16} << 10;
inline constexpr std::size_t kListMax = 1000;  // objects of one page

Result<> check_key(std::string_view key);
Result<> check_list_prefix(std::string_view prefix);  // any beginning of a key, or nothing

struct ObjectStatus {
    std::uint64_t size_bytes = 0;
    std::int64_t modified_ms = 0;  // by the store's clock, ms since the epoch
};

struct ListedObject {
    std::string key;
    ObjectStatus status;
};

struct ListPage {
    std::vector<ListedObject> objects;  // by key, in the order of bytes
    std::string next;                   // `after` of the next page; empty: this is the last one
};

// Which state of a register a writer has seen. Opaque; equal tags mean the same write.
struct RegisterTag {
    std::string text;  // empty: there is no such register
    bool absent() const { return text.empty(); }
    friend bool operator==(const RegisterTag&, const RegisterTag&) = default;
};

struct Register {
    RegisterTag tag;
    std::vector<std::uint8_t> value;
};

// Counted since the store was opened.
struct StoreStats {
    std::uint64_t objects_written = 0;
    std::uint64_t bytes_written = 0;
    std::uint64_t reads = 0;
    std::uint64_t bytes_read = 0;
    std::uint64_t lists = 0;
    std::uint64_t removals = 0;
    std::uint64_t requests = 0;   // to a server, repetitions included
    std::uint64_t retries = 0;    // attempts after the first one
    std::uint64_t throttled = 0;  // answers that asked us to slow down
    std::uint64_t looked_up = 0;  // unknown outcomes that were read back
};

// A large object, written piece by piece. Not seen by anybody until finish() has succeeded. Destroying it unfinished
// aborts it. Calls come one after the other: the next one when the last has completed; abort() may come at any time.
class Upload {
  public:
    virtual ~Upload() = default;

    // Completes when the store wants more, which may be before the bytes are written. After an error only abort() is
    // of use.
    virtual void append(bytes::Chain data, runtime::Callback<Result<>> done) = 0;

    // Makes the object: whole, durable, seen. kExists as with put_if_absent(), with one weakness: a server whose
    // completion of uploads takes no conditions (Ceph's) may let two uploads of one key that end at the same moment
    // both succeed, and keep one. So large objects get keys that no one else writes: with owner's epoch and a number.
    virtual void finish(runtime::Callback<Result<>> done) = 0;

    // Gives up and removes what was written; what is left after an error is removed by the store's sweep.
    virtual void abort(runtime::Callback<Result<>> done) = 0;
};

class ChunkStore {
  public:
    virtual ~ChunkStore() = default;

    // Writes one object as a whole, at most kPutSizeMax. kExists when there is an object of this key that was not
    // written by this very call.
    virtual void put_if_absent(std::string key, bytes::Chain data, runtime::Callback<Result<>> done) = 0;

    // An object of any size up to kUploadSizeMax. A bad key is told by the first append() or finish(). `expected_size`
    // is a help: what the object will probably be large, or 0.
    virtual std::unique_ptr<Upload> upload(std::string key, std::uint64_t expected_size) = 0;

    // Exactly `size` bytes from `offset`, at most kReadSizeMax.
    virtual void read(std::string key, std::uint64_t offset, std::uint64_t size,
                      runtime::Callback<Result<bytes::Slice>> done) = 0;

    virtual void stat(std::string key, runtime::Callback<Result<ObjectStatus>> done) = 0;

    // Objects whose key begins with `prefix` and comes after `after`; at most `limit` (1 to kListMax), maybe fewer.
    virtual void list(std::string prefix, std::string after, std::size_t limit,
                      runtime::Callback<Result<ListPage>> done) = 0;

    // Succeeds as well when there is no such object.
    virtual void remove(std::string key, runtime::Callback<Result<>> done) = 0;

    // An absent register is no error: its tag says so.
    virtual void read_register(std::string key, runtime::Callback<Result<Register>> done) = 0;

    // Replaces the register's value if its state is still `expected`; the result is the tag of the new state. Of
    // several writers with one expectation exactly one succeeds; the others get kBadVersion.
    virtual void write_register(std::string key, std::vector<std::uint8_t> value, RegisterTag expected,
                                runtime::Callback<Result<RegisterTag>> done) = 0;

    virtual StoreStats stats() const = 0;

    // For the start-up log: "file system /data/tier", "S3 bucket b at http://...". Never a secret.
    virtual std::string description() const = 0;
};

}  // namespace millrace::lts
