// The container's durable state in its StateStore: what is saved of it, and what is loaded at the start. Entries of
// tables are table_store.h's.
#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "container/container_impl.h"
#include "container/state/attribute_record.h"
#include "container/state/counters_record.h"
#include "container/state/doomed_record.h"
#include "container/state/internal_entry_record.h"
#include "container/state/manifest_record.h"
#include "container/state/merged_name_record.h"
#include "container/state/name_record.h"
#include "container/state/object_record.h"
#include "container/state/segment_record.h"
#include "container/state/transient_record.h"

namespace millrace::container {
namespace {

state::SegmentRecord record_of(const Segment& segment) {
    state::SegmentRecord record;
    record.id = segment.id;
    record.name = segment.name;
    record.transient = segment.transient;
    record.sealed = segment.durable.sealed;
    record.length = segment.durable.length;
    record.start = segment.durable.start;
    record.last_modified_ms = segment.last_modified_ms;
    if (segment.table != nullptr) {
        bool fixed = segment.table->fixed();
        record.table = fixed ? state::TableKind::kSorted : state::TableKind::kHash;
        record.key_length = static_cast<std::uint16_t>(fixed ? segment.table->key_length : 0);
        record.table_entries = segment.table->entries;
    }
    for (const auto& [key, entry] : segment.attributes) {
        if (!state::is_core(key) || entry.durable == kNullAttribute) continue;
        record.core.push_back({static_cast<std::uint8_t>(key.low), entry.durable});
    }
    std::sort(record.core.begin(), record.core.end(),
              [](const state::CoreAttribute& a, const state::CoreAttribute& b) { return a.index < b.index; });
    return record;
}

}  // namespace

// ---- saving ----

bool SegmentContainer::Impl::encode_marked(state::StateBatch& out, std::size_t most) {
    for (std::size_t done = 0; !marked_.empty(); ++done) {
        if (done >= most) return false;
        auto found = segments_.find(marked_.back());
        if (found == segments_.end()) {
            marked_.pop_back();
            continue;
        }
        Segment& segment = *found->second;
        for (; !segment.marked_attributes.empty(); ++done) {
            if (done >= most) return false;
            Uuid key = segment.marked_attributes.back();
            segment.marked_attributes.pop_back();
            AttributeEntry& entry = segment.attribute(key);
            entry.marked = false;
            entry.batch = keeper_.next_batch();
            if (state::is_core(key)) continue;
            if (entry.durable == kNullAttribute) {
                out.remove(state::AttributeRecord::key(segment.id, key));
            } else {
                out.put(state::AttributeRecord{segment.id, key, entry.durable});
                segment.stored_attributes = true;
            }
        }
        out.put(record_of(segment));
        if (!segment.stored) {
            out.put(state::NameRecord{segment.name, segment.id});
            if (segment.transient) out.put(state::TransientRecord{segment.id, segment.name});
        }
        segment.stored = true;
        segment.marked = false;
        segment.batch = keeper_.next_batch();
        note_crowded(segment);
        marked_.pop_back();
    }
    tiering_.encode_changed(out);
    out.put(state::CountersRecord{next_segment_, tables_.next_version(), tiering_.next_object(), segment_count_,
                                  table_segments_.entries()});
    return true;
}

void SegmentContainer::Impl::saved(std::uint64_t batch) {
    saved_batch_ = batch;
    while (!tombstones_.empty() && tombstones_.front().first <= batch) tombstones_.pop_front();
    table_segments_.store().saved(batch);
    for (SegmentId crowded : std::exchange(crowded_, {})) {
        if (auto found = segments_.find(crowded); found != segments_.end()) drop_attributes(*found->second);
    }
    constexpr std::size_t kSteps = 4096;
    trim(kSteps);
    forget_absent(kSteps);
    process();
}

void SegmentContainer::Impl::state_failed(const Error& error) { on_log_failed(error); }

void SegmentContainer::Impl::forget_state(Segment& segment) {
    state::StateBatch& changes = keeper_.changes();
    if (segment.stored) {
        changes.remove(state::SegmentRecord::key(segment.id));
        changes.remove(state::NameRecord::key(segment.name));
        if (segment.transient) changes.remove(state::TransientRecord::key(segment.id));
    }
    if (segment.stored_attributes || !segment.all_attributes)
        changes.remove_range(state::AttributeRecord::range(segment.id));
}

void SegmentContainer::Impl::save_internal(const TableRecord& record) {
    state::StateBatch& changes = keeper_.changes();
    for (const TableRecord::Entry& entry : record.entries) {
        if (entry.value)
            changes.put(state::InternalEntryRecord{record.table, entry.key, entry.version, *entry.value});
        else
            changes.remove(state::InternalEntryRecord::key(record.table, entry.key));
    }
}

// ---- loading ----

Result<> SegmentContainer::Impl::load() {
    state::StateStore& store = keeper_.store();
    loaded_ = store.applied();
    using Load = Result<> (Impl::*)(std::string_view, std::string_view);
    auto load = [&](const state::KeyRange& range, Load each) {
        return store.load(range,
                          [&](std::string_view key, std::string_view value) { return (this->*each)(key, value); });
    };
    const std::pair<state::KeyRange, Load> kinds[] = {
        {state::CountersRecord::range(), &Impl::load_small},   {state::ObjectRecord::range(), &Impl::load_object},
        {state::TransientRecord::range(), &Impl::load_small},  {state::InternalEntryRecord::range(), &Impl::load_small},
        {state::MergedNameRecord::range(), &Impl::load_small}, {state::DoomedRecord::range(), &Impl::load_small}};
    for (const auto& [range, each] : kinds) {
        if (auto loaded = load(range, each); !loaded) {
            return fail(
                Error(loaded.error().code(), fmt::format("container {}: {}", id.value(), loaded.error().message())));
        }
    }
    return {};
}

Result<> SegmentContainer::Impl::load_small(std::string_view key, std::string_view value) {
    switch (static_cast<state::Kind>(key.front())) {
        case state::Kind::kCounters: {
            auto counters = state::CountersRecord::decode(key, value);
            if (!counters) return fail(std::move(counters.error()));
            next_segment_ = counters->next_segment;
            tables_.set_next_version(counters->next_table_version);
            tiering_.load_next_object(counters->next_object);
            segment_count_ = counters->segments;
            table_segments_.load_entries(counters->table_entries);
            return {};
        }
        case state::Kind::kInternalEntry: {
            auto entry = state::InternalEntryRecord::decode(key, value);
            if (!entry) return fail(std::move(entry.error()));
            TableRecord record{std::move(entry->table), {}};
            record.entries.push_back({std::move(entry->entry_key), std::move(entry->value), entry->version});
            tables_.apply(record);
            return {};
        }
        case state::Kind::kMergedName: {
            auto merged = state::MergedNameRecord::decode(key, value);
            if (!merged) return fail(std::move(merged.error()));
            merges_ = merged->number;
            ++merged_[merged->name];
            merged_names_.push_back(std::move(merged->name));
            return {};
        }
        case state::Kind::kTransient: {
            auto transient = state::TransientRecord::decode(key, value);
            if (!transient) return fail(std::move(transient.error()));
            transients_[transient->segment] = std::move(transient->name);
            return {};
        }
        case state::Kind::kDoomed: {
            auto doomed = state::DoomedRecord::decode(key, value);
            if (!doomed) return fail(std::move(doomed.error()));
            table_segments_.store().resume(doomed->segment);
            return {};
        }
        default:
            return fail(Errc::kCorrupt, "a record of the state in another one's place");
    }
}

Result<std::unique_ptr<Segment>> SegmentContainer::Impl::decode_segment(const StoredSegment& stored) {
    if (stored.segment.size() != 1) return fail(Errc::kCorrupt, "a name in the state of no segment");
    auto record = state::SegmentRecord::decode(stored.segment.front().first, stored.segment.front().second);
    if (!record) return fail(std::move(record.error()));
    auto made = std::make_unique<Segment>(record->id, record->name);
    Segment& segment = *made;
    segment.transient = record->transient;
    segment.exists = segment.stored = true;
    segment.durable.length = record->length;
    segment.durable.start = record->start;
    segment.durable.sealed = record->sealed;
    segment.pending = segment.durable;
    segment.last_modified_ms = record->last_modified_ms;
    auto put = [&](const Uuid& key, std::int64_t value) {
        AttributeEntry& entry = segment.attribute(key);
        entry.durable = entry.pending = value;
    };
    for (const state::CoreAttribute& core : record->core) put(core_attribute(core.index), core.value);
    segment.all_attributes = stored.all_attributes;
    segment.stored_attributes = !stored.attributes.empty();
    for (const auto& [key, value] : stored.attributes) {
        auto attribute = state::AttributeRecord::decode(key, value);
        if (!attribute) return fail(std::move(attribute.error()));
        put(attribute->id, attribute->value);
    }
    if (segment.attributes.contains(kEventCount)) segment.event_count = &segment.attribute(kEventCount);
    TableSegments::recognise(segment);
    if (segment.table != nullptr) segment.table->entries = record->table_entries;
    for (const auto& [key, value] : stored.manifest) {
        auto entry = state::ManifestRecord::decode(key, value);
        if (!entry) return fail(std::move(entry.error()));
        ManifestEntry piece{entry->offset, entry->size, ObjectId(entry->object.value()), entry->object_offset};
        if (!tiering_.load(segment, piece)) {
            return fail(Errc::kCorrupt,
                        fmt::format("the manifest of segment {} does not fit its objects", segment.name));
        }
    }
    return made;
}

Result<> SegmentContainer::Impl::load_object(std::string_view key, std::string_view value) {
    auto record = state::ObjectRecord::decode(key, value);
    if (!record) return fail(std::move(record.error()));
    if (record->state != state::ObjectState::kLive) return {};
    TieredObject object{ObjectId(record->id.value()), static_cast<ObjectKind>(record->kind), record->size,
                        std::move(record->key_name)};
    tiering_.load(object, record->live_bytes);
    return {};
}

}  // namespace millrace::container
