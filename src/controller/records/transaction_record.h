// txn/<scope>/<stream>/<id>: a transaction that is under way.
// txndone/<scope>/<stream>/<lower half><upper half>: one that is over; sorted by when it was begun, nearly.
// txnid/<scope>: up to where the ids of the scope's transactions may have been given away.
#pragma once

#include <limits>

#include "controller/records/codec.h"

namespace millrace::controller {

struct TransactionRecord {
    static constexpr std::int64_t kNoTime = std::numeric_limits<std::int64_t>::min();
    enum class State : std::uint8_t { kOpen = 1, kCommitting = 2, kAborting = 3 };

    State state = State::kOpen;
    std::int64_t begun_ms = 0;
    std::int64_t lease_ms = 0;    // the longest that was granted
    std::int64_t end_by_ms = 0;   // no lease goes beyond
    std::int64_t kept_ms = 0;     // open: since when it is kept without a lease; 0: it has one
    std::int64_t kept_bytes = 0;  // what its segments held then
    std::int64_t order = 0;       // committing: its place among the stream's commits, from 1
    std::string writer;           // committing: who committed, and the time it told
    std::int64_t time = kNoTime;
    bool operator==(const TransactionRecord&) const = default;

    static std::string prefix(const StreamName& stream);
    static std::string key(const StreamName& stream, const TransactionId& id);
    static constexpr std::string_view kPrefix = "txn/";
    struct Key {
        StreamName stream;
        TransactionId id;
    };
    static Result<Key> parse_key(std::string_view key);

    std::string encode() const;
    static Result<TransactionRecord> decode(std::string_view value);
};

struct CompletedTransactionRecord {
    bool committed = false;
    std::int64_t completed_ms = 0;
    bool operator==(const CompletedTransactionRecord&) const = default;

    static constexpr std::string_view kPrefix = "txndone/";
    static std::string prefix(const StreamName& stream);
    static std::string key(const StreamName& stream, const TransactionId& id);
    static Result<TransactionRecord::Key> parse_key(std::string_view key);

    std::string encode() const;
    static Result<CompletedTransactionRecord> decode(std::string_view value);
};

struct TransactionCounterRecord {
    std::int64_t next = 0;  // lower halves below it may have been used
    bool operator==(const TransactionCounterRecord&) const = default;

    static std::string key(std::string_view scope);
    std::string encode() const;
    static Result<TransactionCounterRecord> decode(std::string_view value);
};

}  // namespace millrace::controller
