#include "sim/model.h"

#include <algorithm>

namespace millrace::sim {
namespace {

using container::AttributeUpdateType;
using container::kAnyVersion;
using container::kNotExists;

constexpr std::int64_t kItemHeader = 17;

// Null: the attribute refuses the update.
std::optional<std::int64_t> updated(std::int64_t now, const AttributeUpdate& update) {
    bool is_set = now != kNullAttribute;
    switch (update.type) {
        case AttributeUpdateType::kNone:
            if (is_set) return std::nullopt;
            return update.value;
        case AttributeUpdateType::kReplace:
            return update.value;
        case AttributeUpdateType::kReplaceIfGreater:
            if (is_set && update.value <= now) return std::nullopt;
            return update.value;
        case AttributeUpdateType::kAccumulate:
            return is_set ? now + update.value : update.value;
        case AttributeUpdateType::kReplaceIfEquals:
            if (now != update.expected) return std::nullopt;
            return update.value;
    }
    return std::nullopt;
}

bool update_all(SegmentModel& segment, const std::vector<AttributeUpdate>& updates) {
    auto changed = segment.attributes;
    for (const AttributeUpdate& update : updates) {
        auto found = changed.find(update.id);
        auto value = updated(found == changed.end() ? kNullAttribute : found->second, update);
        if (!value) return false;
        changed[update.id] = *value;
    }
    segment.attributes = std::move(changed);
    return true;
}

Answer update_table(SegmentModel& segment, const std::vector<TableUpdate>& updates) {
    bool fixed = segment.key_length > 0;
    bool missing = false;
    bool mismatch = false;
    for (const TableUpdate& update : updates) {
        if (update.expected_version == kAnyVersion) continue;
        auto found = segment.entries.find(update.key);
        std::int64_t version = found == segment.entries.end() ? kNotExists : found->second.second;
        missing = missing || (version == kNotExists && update.expected_version != kNotExists);
        mismatch = mismatch || version != update.expected_version;
    }
    if (missing && !fixed) return {Errc::kNoKey};
    if (mismatch) return {Errc::kBadVersion};
    for (const TableUpdate& update : updates) {
        auto key = static_cast<std::int64_t>(update.key.size());
        if (update.value) {
            segment.entries[update.key] = {*update.value, static_cast<std::int64_t>(segment.length)};
            segment.length +=
                static_cast<std::uint64_t>(kItemHeader + key + static_cast<std::int64_t>(update.value->size()));
        } else {
            segment.entries.erase(update.key);
            if (!fixed) segment.length += static_cast<std::uint64_t>(kItemHeader + key);
        }
    }
    return {};
}

}  // namespace

Answer ContainerModel::apply(ContainerState& state, const Operation& op, bool with_content) {
    auto found = state.segments.find(op.name);
    SegmentModel* segment = found == state.segments.end() ? nullptr : &found->second;
    if (op.kind == OpKind::kMetadata) {
        if (op.only_if_absent && state.metadata.contains(op.name)) return {Errc::kBadVersion};
        if (op.data.empty())
            state.metadata.erase(op.name);
        else
            state.metadata[op.name] = op.data;
        return {std::nullopt, kAny};
    }
    if (op.kind == OpKind::kCreate) {
        if (segment != nullptr) return {Errc::kExists};
        SegmentModel made;
        made.content = op.content;
        made.table = op.table;
        made.key_length = op.key_length;
        state.segments[op.name] = std::move(made);
        return {};
    }
    if (op.kind == OpKind::kMerge) {
        auto from = state.segments.find(op.other);
        if (from == state.segments.end() || segment == nullptr) return {Errc::kNotFound, kAny};
        SegmentModel& source = from->second;
        if (source.start > 0) return {Errc::kTruncated, static_cast<std::int64_t>(source.start)};
        source.sealed = true;
        if (segment->sealed) return {Errc::kSealed};
        if (!update_all(*segment, op.attributes)) return {Errc::kBadAttribute};
        if (with_content) segment->content->append(*source.content, 0, source.length);
        segment->length += source.length;
        state.segments.erase(from);
        return {std::nullopt, static_cast<std::int64_t>(segment->length)};
    }
    if (op.kind == OpKind::kAppend) {
        if (!op.takes_effect || segment == nullptr) return op.expected;
        if (with_content) segment->content->append(op.data);
        segment->length += op.data.size();
        segment->attributes[op.writer] = op.event_number;
        auto [count, is_new] = segment->attributes.try_emplace(container::kEventCount, 0);
        ++count->second;
        return op.expected;
    }
    if (segment == nullptr) return {Errc::kNotFound, kAny};
    switch (op.kind) {
        case OpKind::kSetup: {
            if (segment->table) return {Errc::kInvalidArgument, kAny};
            auto value = segment->attributes.find(op.writer);
            return {std::nullopt, value == segment->attributes.end() ? kNullAttribute : value->second};
        }
        case OpKind::kSeal:
            if (segment->sealed) return {Errc::kSealed};
            segment->sealed = true;
            return {std::nullopt, static_cast<std::int64_t>(segment->length)};
        case OpKind::kTruncate: {
            auto start = static_cast<std::int64_t>(segment->start);
            if (op.offset < start || op.offset > static_cast<std::int64_t>(segment->length)) {
                return {Errc::kTruncated, start};
            }
            segment->start = static_cast<std::uint64_t>(op.offset);
            return {};
        }
        case OpKind::kDelete:
            state.segments.erase(found);
            return {};
        case OpKind::kAttributes:
            if (segment->sealed) return {Errc::kSealed};
            if (!update_all(*segment, op.attributes)) return {Errc::kBadAttribute};
            return {};
        case OpKind::kTable:
            if (segment->sealed) return {Errc::kSealed};
            return update_table(*segment, op.updates);
        default:
            return {};
    }
}

const Operation& ContainerModel::send(Operation operation) {
    operation.number = ++last_;
    if (operation.kind == OpKind::kCreate) operation.content = std::make_shared<std::string>();
    if (operation.kind == OpKind::kAppend)
        apply(latest_, operation, true);  // its session knows the answer
    else
        operation.expected = apply(latest_, operation, true);
    operations_.push_back(std::move(operation));
    return operations_.back();
}

void ContainerModel::take_front() {
    apply(durable_, operations_.front(), false);  // a segment's content is one and the same in both states
    operations_.pop_front();
}

void ContainerModel::answered(std::uint64_t number) {
    while (!operations_.empty() && operations_.front().number <= number) take_front();
}

void ContainerModel::withdraw_last() {
    operations_.pop_back();
    latest_ = durable_;
    for (const Operation& op : operations_) apply(latest_, op, false);
    for (auto& [name, segment] : latest_.segments) segment.content->resize(segment.length);
}

bool ContainerModel::recover(const std::function<bool(const ContainerState&)>& fits) {
    bool found = fits(durable_);
    while (!found && !operations_.empty()) {
        take_front();
        found = fits(durable_);
    }
    operations_.clear();
    latest_ = durable_;
    for (auto& [name, segment] : latest_.segments) segment.content->resize(segment.length);
    return found;
}

Operation* ContainerModel::find(std::uint64_t number) {
    if (operations_.empty() || number < operations_.front().number) return nullptr;
    std::size_t at = number - operations_.front().number;
    return at < operations_.size() ? &operations_[at] : nullptr;
}

bool ContainerModel::is_leaving(const std::string& name) const {
    return std::any_of(operations_.begin(), operations_.end(), [&](const Operation& op) {
        return (op.kind == OpKind::kDelete && op.name == name) || (op.kind == OpKind::kMerge && op.other == name);
    });
}

}  // namespace millrace::sim
