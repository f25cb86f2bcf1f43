// The vocabulary of transactions.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "controller/types.h"

namespace millrace::controller {

// The reference epoch of the segments on which it was begun, in the upper half's upper half.
constexpr std::int32_t epoch_of(const TransactionId& id) { return static_cast<std::int32_t>(id.high >> 32); }

// Values as on the wire.
enum class TransactionState : std::uint8_t { kUnknown, kOpen, kCommitting, kCommitted, kAborting, kAborted };
enum class TransactionOutcome : std::uint8_t { kSuccess, kFailure };
enum class PingStatus : std::uint8_t {
    kOk = 0,
    kLeaseTooLarge = 1,
    kMaxExecutionTimeExceeded = 2,
    kDisconnected = 4,
    kCommitted = 5,
    kAborted = 6,
    kUnknown = 7,
};

struct BegunTransaction {
    TransactionId id;
    // Those of its epoch, by key, with that epoch in their ids even when they are older: so are its own segments named.
    std::vector<SegmentRange> segments;
};

struct CommitRequest {
    std::string writer;
    std::optional<std::int64_t> time;  // of the writer
};

struct CompletedTransaction {
    TransactionId id;
    bool committed = false;
    std::int64_t completed_ms = 0;
};

// One that is under way, for administrators.
struct TransactionStatus {
    TransactionId id;
    TransactionState state = TransactionState::kOpen;  // open, committing or aborting
    std::int64_t begun_ms = 0;
    std::int64_t lease_ms = 0;
    std::int64_t lease_left_ms = 0;       // open and not prepared
    std::optional<std::int64_t> kept_ms;  // prepared: since when it is kept without a lease
    std::int64_t kept_bytes = 0;
};

struct TransactionOptions {
    std::chrono::milliseconds lease_min{10'000};
    std::chrono::milliseconds lease_max{600'000};
    std::chrono::milliseconds execution_max{24LL * 3600 * 1000};
    std::chrono::milliseconds grace{5'000};  // between the end of a lease and the abort
    bool keep_prepared = false;              // of streams that do not say so themselves (docs/adr/0005)
    std::size_t open_limit = 20'000;         // of one stream; beyond, none is begun
    std::size_t kept_limit = 1'000;          // prepared ones of one stream; beyond, none is begun
    std::int64_t kept_bytes_limit = 64LL << 30;
    std::chrono::milliseconds completed_kept{24LL * 3600 * 1000};
    std::size_t completed_limit = 100'000;  // of one stream, at most a tenth more for a while
    std::size_t completed_total = 250'000;  // of all together, likewise: some 200 bytes of memory each
    std::chrono::milliseconds cleaning_period{10LL * 60 * 1000};
};

// Tags of a stream that decide whether its prepared transactions are kept; without either, the option does.
inline constexpr std::string_view kKeepPreparedTag = "millrace.prepared=keep";
inline constexpr std::string_view kExpirePreparedTag = "millrace.prepared=expire";

}  // namespace millrace::controller
