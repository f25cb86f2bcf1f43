#include "controller/controller_harness.h"

#include <algorithm>

#include <fmt/format.h>

#include "controller/records/epoch_record.h"
#include "controller/records/group_record.h"
#include "controller/records/scope_record.h"
#include "controller/records/table_record.h"
#include "controller/records/transaction_record.h"
#include "controller/stream_cut.h"

namespace millrace::controller {

namespace {

// What the records say about one stream's segments: which have to exist, and which of those are open.
struct Expected {
    std::map<std::string, bool> open;
};

// Segments of transactions that are open; others are on their way to an end, which is garbage if it lasts.
void expect_transaction(const FakeSegmentApi::Table& table, const std::string& key, const std::string& value,
                        Expected& expected, std::vector<std::string>& garbage) {
    auto parsed = TransactionRecord::parse_key(key);
    auto record = TransactionRecord::decode(value);
    auto epoch = parsed ? table.find(EpochRecord::key(parsed->stream, epoch_of(parsed->id))) : table.end();
    if (!record || epoch == table.end() || record->state != TransactionRecord::State::kOpen) {
        garbage.push_back(key);
        return;
    }
    auto of_epoch = EpochRecord::decode(epoch->second.value);
    for (const SegmentRange& segment : of_epoch->epoch.segments) {
        StreamSegmentId own = segment_id(number_of(segment.id), epoch_of(parsed->id));
        expected.open[transaction_segment_name(parsed->stream, own, parsed->id)] = true;
    }
}

void expect_segments(const FakeSegmentApi::Table& table, const StreamName& name, const StreamRecord& record,
                     Expected& expected) {
    std::vector<Epoch> epochs;
    for (auto at = table.lower_bound(EpochRecord::prefix(name));
         at != table.end() && at->first.starts_with(EpochRecord::prefix(name)); ++at) {
        epochs.push_back(EpochRecord::decode(at->second.value)->epoch);
    }
    if (epochs.empty()) return;
    CutLine head = record.head.empty() ? CutLine::at_start_of(epochs.front()) : *line_of(record.head, epochs);
    const Epoch& newest = *std::ranges::find(epochs, record.current_epoch, &Epoch::epoch);
    CutLine tail = CutLine::at_start_of(newest);
    for (const SegmentRange& segment : segments_between(head, tail, epochs)) {
        bool is_current = std::ranges::find(newest.segments, segment.id, &SegmentRange::id) != newest.segments.end();
        expected.open[segment_name(name, segment.id)] = is_current && record.state != StreamState::kSealed;
    }
}

}  // namespace

std::vector<std::string> Harness::keys(std::string_view prefix) const {
    std::vector<std::string> all;
    for (const auto& [where, table] : api.tables) {
        for (const auto& [key, cell] : table) {
            if (key.starts_with(prefix)) all.push_back(key);
        }
    }
    return all;
}

Result<ScaleResult> Harness::scale_to(StreamName name, std::int32_t segments) {
    auto now = current(name);
    if (!now) return fail(now.error());
    std::vector<StreamSegmentId> sealed;
    for (const SegmentRange& segment : *now) sealed.push_back(segment.id);
    std::vector<KeyRange> ranges;
    for (const SegmentRange& range : equal_ranges(segments, 0, 0)) ranges.push_back({range.min_key, range.max_key});
    return scale(name, std::move(sealed), std::move(ranges));
}

std::vector<std::string> Harness::garbage() const {
    std::vector<std::string> garbage;
    Expected expected;
    for (const auto& [where, table] : api.tables) {
        for (const auto& [key, cell] : table) {
            if (key.starts_with("pending/")) garbage.push_back(key);
            if (key.starts_with("scope/") && ScopeRecord::decode(cell.value)->state != ScopeRecord::State::kActive)
                garbage.push_back(key);
            if (key.starts_with("group/") && GroupRecord::decode(cell.value)->state != GroupRecord::State::kActive)
                garbage.push_back(key);
            if (key.starts_with("table/")) {
                auto record = TableRecord::decode(cell.value);
                if (record->state != TableRecord::State::kActive) garbage.push_back(key);
                StreamName name = *parse_scoped_name(std::string_view(key).substr(6));
                if (!table.contains("scope/" + name.scope)) garbage.push_back(key + " in no scope");
                StreamName stream = key_value_table_stream(name.scope, name.stream);
                for (const SegmentRange& segment : record->segments())
                    expected.open[segment_name(stream, segment.id)] = true;
            }
            if (key.starts_with("txn/")) expect_transaction(table, key, cell.value, expected, garbage);
            for (std::string_view kind : {"epoch/", "sealed/", "subscriber/", "txn/", "txndone/", "retained/",
                                          "sample/", "writer/", "watermark/"}) {
                if (!key.starts_with(kind)) continue;
                std::string_view rest = std::string_view(key).substr(kind.size());
                std::size_t end = rest.find('/', rest.find('/') + 1);
                if (!table.contains("stream/" + std::string(rest.substr(0, end)))) garbage.push_back(key);
            }
            if (!key.starts_with("stream/")) continue;
            auto record = StreamRecord::decode(cell.value);
            if (!record->is_settled()) garbage.push_back(key);
            StreamName name = *parse_scoped_name(std::string_view(key).substr(7));
            if (!table.contains("scope/" + name.scope)) garbage.push_back(key + " in no scope");
            if (!is_mark(name.stream) && !table.contains(StreamRecord::key(mark_of(name))))
                garbage.push_back(key + " without companion");
            expect_segments(table, name, *record, expected);
        }
    }
    for (const auto& [name, open] : expected.open) {
        auto found = api.segments.find(name);
        if (found == api.segments.end()) garbage.push_back("missing segment " + name);
        if (found != api.segments.end() && found->second.sealed == open)
            garbage.push_back("wrongly sealed or open: " + name);
    }
    for (const auto& [name, segment] : api.segments) {
        if (!expected.open.contains(name)) garbage.push_back("unknown segment " + name);
    }
    for (const std::string& name : api.created_again) garbage.push_back("made twice: " + name);
    return garbage;
}

}  // namespace millrace::controller
