#include "controller/records/transaction_record.h"

#include <charconv>

#include <fmt/format.h>

#include "base/uuid.h"
#include "controller/names.h"

namespace millrace::controller {

namespace {

std::string halves(std::uint64_t first, std::uint64_t second) { return fmt::format("{:016x}{:016x}", first, second); }

std::optional<std::uint64_t> parse_hex(std::string_view text) {
    bool lower = text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    std::uint64_t value = 0;
    if (!lower || text.size() != 16) return std::nullopt;
    std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return value;
}

// <prefix><scope>/<stream>/<32 digits>; the digits as two numbers.
Result<std::pair<StreamName, std::pair<std::uint64_t, std::uint64_t>>> parse(std::string_view key,
                                                                             std::string_view prefix) {
    auto damaged = [&] { return fail(Errc::kCorrupt, fmt::format("damaged key {}", key)); };
    std::size_t slash = key.rfind('/');
    if (!key.starts_with(prefix) || slash == std::string_view::npos || slash < prefix.size()) return damaged();
    auto name = parse_scoped_name(key.substr(prefix.size(), slash - prefix.size()));
    std::string_view digits = key.substr(slash + 1);
    if (!name || digits.size() != 32) return damaged();
    auto first = parse_hex(digits.substr(0, 16));
    auto second = parse_hex(digits.substr(16));
    if (!first || !second) return damaged();
    return std::pair(std::move(*name), std::pair(*first, *second));
}

}  // namespace

std::string TransactionRecord::prefix(const StreamName& stream) {
    return fmt::format("{}{}/{}/", kPrefix, stream.scope, stream.stream);
}

std::string TransactionRecord::key(const StreamName& stream, const TransactionId& id) {
    return prefix(stream) + halves(id.high, id.low);
}

Result<TransactionRecord::Key> TransactionRecord::parse_key(std::string_view key) {
    auto parsed = parse(key, kPrefix);
    if (!parsed) return std::unexpected(parsed.error());
    return Key{std::move(parsed->first), TransactionId{parsed->second.first, parsed->second.second}};
}

std::string TransactionRecord::encode() const {
    RecordWriter out;
    out.u8(static_cast<std::uint8_t>(state));
    out.i64(begun_ms);
    out.i64(lease_ms);
    out.i64(end_by_ms);
    out.i64(kept_ms);
    out.i64(kept_bytes);
    out.i64(order);
    out.text(writer);
    out.i64(time);
    return out.take();
}

Result<TransactionRecord> TransactionRecord::decode(std::string_view value) {
    RecordReader in(value);
    TransactionRecord record;
    record.state = static_cast<State>(in.enumerated(1, 3));
    record.begun_ms = in.i64();
    record.lease_ms = in.i64();
    record.end_by_ms = in.i64();
    record.kept_ms = in.i64();
    record.kept_bytes = in.i64();
    record.order = in.i64();
    record.writer = in.text();
    record.time = in.i64();
    if (record.lease_ms < 0 || record.kept_bytes < 0) in.fail();
    if ((record.state == State::kCommitting) != (record.order > 0)) in.fail();
    return in.finish(std::move(record), "transaction");
}

std::string CompletedTransactionRecord::prefix(const StreamName& stream) {
    return fmt::format("{}{}/{}/", kPrefix, stream.scope, stream.stream);
}

std::string CompletedTransactionRecord::key(const StreamName& stream, const TransactionId& id) {
    return prefix(stream) + halves(id.low, id.high);
}

Result<TransactionRecord::Key> CompletedTransactionRecord::parse_key(std::string_view key) {
    auto parsed = parse(key, kPrefix);
    if (!parsed) return std::unexpected(parsed.error());
    return TransactionRecord::Key{std::move(parsed->first), TransactionId{parsed->second.second, parsed->second.first}};
}

std::string CompletedTransactionRecord::encode() const {
    RecordWriter out;
    out.u8(committed ? 1 : 0);
    out.i64(completed_ms);
    return out.take();
}

Result<CompletedTransactionRecord> CompletedTransactionRecord::decode(std::string_view value) {
    RecordReader in(value);
    CompletedTransactionRecord record;
    record.committed = in.flag();
    record.completed_ms = in.i64();
    return in.finish(record, "completed transaction");
}

std::string TransactionCounterRecord::key(std::string_view scope) { return fmt::format("txnid/{}", scope); }

std::string TransactionCounterRecord::encode() const {
    RecordWriter out;
    out.i64(next);
    return out.take();
}

Result<TransactionCounterRecord> TransactionCounterRecord::decode(std::string_view value) {
    RecordReader in(value);
    TransactionCounterRecord record;
    record.next = in.i64();
    if (record.next < 0) in.fail();
    return in.finish(record, "transaction counter");
}

}  // namespace millrace::controller
