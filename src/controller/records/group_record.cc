#include "controller/records/group_record.h"

#include <fmt/format.h>

namespace millrace::controller {

std::string GroupRecord::prefix(std::string_view scope) { return fmt::format("group/{}/", scope); }

std::string GroupRecord::key(std::string_view scope, std::string_view group) { return prefix(scope).append(group); }

std::string GroupRecord::encode() const {
    RecordWriter out;
    out.u8(static_cast<std::uint8_t>(state));
    out.group_config(config);
    out.u8(next ? 1 : 0);
    if (next) out.group_config(*next);
    return out.take();
}

Result<GroupRecord> GroupRecord::decode(std::string_view value) {
    RecordReader in(value);
    GroupRecord record;
    record.state = static_cast<State>(in.enumerated(1, 4));
    record.config = in.group_config();
    if (in.flag()) record.next = in.group_config();
    if (record.next.has_value() != (record.state == State::kUpdating)) in.fail();
    return in.finish(std::move(record), "reader group");
}

bool GroupRecord::is_deleting(std::string_view value) {
    return value.size() > 1 && static_cast<State>(value[1]) == State::kDeleting;
}

}  // namespace millrace::controller
