#include "controller/names.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/uuid.h"

namespace millrace::controller {

namespace {

constexpr std::size_t kPossibleLength = 512;

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

std::optional<std::int32_t> parse_number(std::string_view text) {
    std::int32_t number = -1;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    bool good = error == std::errc() && end == text.data() + text.size() && number >= 0;
    return good ? std::optional(number) : std::nullopt;
}

}  // namespace

bool is_allowed_name(std::string_view name) {
    if (name.size() > kNameLength) return false;
    if (name.starts_with('_')) name.remove_prefix(1);
    return !name.empty() && std::ranges::all_of(name, is_plain);
}

bool is_allowed_user_name(std::string_view name) {
    return !name.empty() && name.size() <= kUserNameLength && std::ranges::all_of(name, is_plain);
}

bool is_possible_name(std::string_view name) {
    auto possible = [](char c) { return is_plain(c) || c == '_'; };
    return !name.empty() && name.size() <= kPossibleLength && std::ranges::all_of(name, possible);
}

Result<> check_scoped(std::string_view scope) {
    if (!scope.empty()) return {};
    return fail(Errc::kInvalidArgument, "the name of the scope is empty");
}

StreamName mark_of(const StreamName& stream) { return {stream.scope, std::string(kMarkPrefix) + stream.stream}; }

StreamName base_of(const StreamName& stream) {
    if (!is_mark(stream.stream)) return stream;
    return {stream.scope, stream.stream.substr(kMarkPrefix.size())};
}

StreamName reader_group_stream(std::string_view scope, std::string_view group) {
    return {std::string(scope), std::string(kReaderGroupPrefix) + std::string(group)};
}

StreamName key_value_table_stream(std::string_view scope, std::string_view table) {
    return {std::string(scope), std::string(table).append(kKeyValueTableSuffix)};
}

std::string to_string(const StreamName& name) { return name.scope + "/" + name.stream; }

std::optional<StreamName> parse_scoped_name(std::string_view text) {
    std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    StreamName name{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
    if (!is_possible_name(name)) return std::nullopt;
    return name;
}

std::string segment_name(const StreamName& stream, StreamSegmentId segment) {
    return fmt::format("{}/{}/{}.#epoch.{}", stream.scope, stream.stream, number_of(segment), epoch_of(segment));
}

std::optional<ParsedSegment> parse_segment_name(std::string_view name) {
    std::size_t slash = name.rfind('/');
    if (slash == std::string_view::npos) return std::nullopt;
    auto stream = parse_scoped_name(name.substr(0, slash));
    std::string_view rest = name.substr(slash + 1);
    constexpr std::string_view kEpoch = ".#epoch.";
    std::size_t dot = rest.find(kEpoch);
    if (!stream || dot == std::string_view::npos) return std::nullopt;
    auto number = parse_number(rest.substr(0, dot));
    auto epoch = parse_number(rest.substr(dot + kEpoch.size()));
    if (!number || !epoch) return std::nullopt;
    return ParsedSegment{std::move(*stream), segment_id(*number, *epoch)};
}

std::string transaction_segment_name(const StreamName& stream, StreamSegmentId segment, const TransactionId& id) {
    return fmt::format("{}#transaction.{}", segment_name(stream, segment), to_hex(id));
}

}  // namespace millrace::controller
