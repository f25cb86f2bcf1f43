// The changes that are no appends: to segments, attributes, tables and the container's own entries.
#include <fmt/format.h>

#include "container/table_segments.h"
#include "sim/client.h"

namespace millrace::sim {

using container::AttributeUpdateType;
using container::CreateOptions;
using container::kNotExists;

std::vector<AttributeUpdate> Client::some_updates(const std::string& name) {
    std::vector<AttributeUpdate> updates;
    auto found = model_.latest().segments.find(name);
    for (std::uint64_t i = 0; i <= random_.below(3); ++i) {
        AttributeUpdate update;
        update.id = kAttributes[random_.below(kAttributes.size())];
        update.type = static_cast<AttributeUpdateType>(random_.below(5));
        update.value = static_cast<std::int64_t>(random_.below(100));
        if (found != model_.latest().segments.end()) {
            auto now = found->second.attributes.find(update.id);
            if (now != found->second.attributes.end() && random_.below(4) != 0) update.expected = now->second;
        }
        updates.push_back(update);
    }
    return updates;
}

void Client::change_segment() {
    Operation operation;
    operation.name = some_name();
    const auto& segments = model_.latest().segments;
    auto found = segments.find(operation.name);
    const SegmentModel* segment = found == segments.end() ? nullptr : &found->second;
    bool table = is_table_name(operation.name);
    std::string name = operation.name;
    std::uint64_t what = random_.below(100);
    if (segment == nullptr || what < 5) {
        if (model_.is_leaving(name)) return;
        operation.kind = OpKind::kCreate;
        operation.table = table;
        operation.key_length = name == "f" ? 2 : 0;
        CreateOptions options;
        options.table = table;
        options.key_length = operation.key_length;
        return container_->create(name, options, answer_to<void>(send(std::move(operation))));
    }
    if (what < 40 && !table) {
        operation.kind = OpKind::kTruncate;
        std::uint64_t room = segment->length - segment->start;
        operation.offset = static_cast<std::int64_t>(segment->start + random_.below(room + 1));
        if (random_.below(10) == 0) operation.offset = static_cast<std::int64_t>(random_.below(segment->length + 50));
        std::int64_t offset = operation.offset;
        return container_->truncate(name, offset, answer_to<void>(send(std::move(operation))));
    }
    if (what < 70) {
        operation.kind = OpKind::kAttributes;
        operation.attributes = some_updates(name);
        auto updates = operation.attributes;
        return container_->update_attributes(name, std::move(updates), answer_to<void>(send(std::move(operation))));
    }
    if (what < 76) {
        operation.kind = OpKind::kSeal;
        return container_->seal(name, answer_to<std::int64_t>(send(std::move(operation))));
    }
    if (what < 86 || table) {
        operation.kind = OpKind::kDelete;
        return container_->remove(name, answer_to<void>(send(std::move(operation))));
    }
    std::string source = some_name();
    if (is_table_name(source) || !segments.contains(source)) return;
    operation.kind = OpKind::kMerge;
    operation.other = source;
    if (random_.below(2) == 0) operation.attributes = some_updates(name);
    auto updates = operation.attributes;
    container_->merge(name, source, std::move(updates), answer_to<std::int64_t>(send(std::move(operation))));
}

void Client::change_table(const std::string& table) {
    Operation operation;
    operation.kind = OpKind::kTable;
    operation.name = table;
    auto found = model_.latest().segments.find(operation.name);
    for (std::uint64_t i = 0; i <= random_.below(4); ++i) {
        TableUpdate update;
        update.key = fmt::format("k{}", random_.below(8));
        if (found != model_.latest().segments.end() && random_.below(2) == 0) {
            auto entry = found->second.entries.find(update.key);
            update.expected_version = entry == found->second.entries.end() ? kNotExists : entry->second.second;
            if (random_.below(5) == 0) update.expected_version = random_.below(2) == 0 ? kNotExists : 1;
        }
        if (random_.below(4) != 0) update.value = some_bytes(200);
        operation.updates.push_back(std::move(update));
    }
    container::TableBatch batch{operation.updates, container::kAnyTableLength};
    table_under_way_ = table;
    ++tables_under_way_;
    std::string name = operation.name;
    container_->tables().update(name, std::move(batch),
                                answer_to<std::vector<std::int64_t>>(send(std::move(operation))));
}

void Client::change_metadata() {
    Operation operation;
    operation.kind = OpKind::kMetadata;
    operation.name = kMetadataKeys[random_.below(kMetadataKeys.size())];
    TableUpdate update;
    update.key = operation.name;
    if (random_.below(3) != 0) {
        operation.data = some_bytes(100);
        update.value = operation.data;
        operation.only_if_absent = random_.below(2) == 0;
        if (operation.only_if_absent) update.expected_version = kNotExists;
    }
    container_->update_table("meta", {std::move(update)}, container::SpaceNeed::kOrdinary,
                             answer_to<std::vector<std::int64_t>>(send(std::move(operation))));
}
}  // namespace millrace::sim
