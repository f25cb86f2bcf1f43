// Segment operations and tables: validated against pending state when they are taken, published when they are durable.
#include "base/assert.h"
#include "container/container_impl.h"
#include "container/state/attribute_record.h"
#include "container/state/merged_name_record.h"
#include "container/state/segment_record.h"

namespace millrace::container {
namespace {

// Session, reply and error handling that all operations share: `taken` has logged the operation and `done` follows when
// it is durable.
template <typename T>
CommitTask reply(SegmentContainer::Done<T> done, T value) {
    return [done = std::move(done), value = std::move(value)](const Error* error) mutable {
        if (error != nullptr) return done(fail(*error));
        done(std::move(value));
    };
}

bool is_immutable(const Uuid& id) { return id == kSegmentType || id == kAttributeIdLength; }

Result<std::int64_t> updated_value(std::int64_t now, const AttributeUpdate& update) {
    bool set = now != kNullAttribute;
    switch (update.type) {
        case AttributeUpdateType::kNone:
            if (set) return fail(Errc::kBadAttribute);
            return update.value;
        case AttributeUpdateType::kReplace:
            return update.value;
        case AttributeUpdateType::kReplaceIfGreater:
            if (set && update.value <= now) return fail(Errc::kBadAttribute);
            return update.value;
        case AttributeUpdateType::kAccumulate: {
            if (!set) return update.value;
            // Wraps, as the reference does.
            return static_cast<std::int64_t>(static_cast<std::uint64_t>(now) +
                                             static_cast<std::uint64_t>(update.value));
        }
        case AttributeUpdateType::kReplaceIfEquals:
            if (now != update.expected) return fail(Errc::kBadAttribute);
            return update.value;
    }
    return fail(Errc::kInvalidArgument, "unknown attribute update type");
}

}  // namespace

// ---- create ----

void SegmentContainer::Impl::create(std::string name, CreateOptions options, Done<> done) {
    if (name.empty() || name.size() > kMaxName) {
        return executor.post(
            [done = std::move(done)]() mutable { done(fail(Errc::kInvalidArgument, "segment name")); });
    }
    NameRef entry = want(name);
    control(SpaceNeed::kOrdinary, {{entry}, {}},
            [this, entry, name = std::move(name), options, done = std::move(done)](const Error* closed) mutable {
                if (closed != nullptr) return done(fail(*closed));
                if (entry->segment != nullptr) {
                    Segment* segment = entry->segment;
                    segment->used = pipeline_.turn();
                    if (segment->pending.gone) {  // its deletion is under way: again when it is done
                        segment->when_gone.emplace_back([this, name, options, done = std::move(done)]() mutable {
                            create(std::move(name), options, std::move(done));
                        });
                        return;
                    }
                    return after_commit(refusal(std::move(done), Error(Errc::kExists, name)));
                }
                SegmentId segment_id(next_segment_++);
                Segment* segment = &adopt(std::make_unique<Segment>(segment_id, name));
                segment->used = pipeline_.turn();
                segment->transient = options.transient;

                CreateRecord record{segment_id, executor.clock().wall_millis(), name, options.transient, {}};
                record.attributes = {{kCreationTime, record.created_ms},
                                     {kScalePolicyType, options.scale_type},
                                     {kScalePolicyRate, options.target_rate},
                                     {kRolloverSize, std::max<std::int64_t>(options.rollover_bytes, 0)},
                                     {kSegmentType, options.transient ? 0x80 : 0}};
                if (options.table) record.attributes = TableSegments::attributes(options, record.created_ms);
                for (const auto& [key, value] : record.attributes) segment->attribute(key).pending = value;
                TableSegments::recognise(*segment);
                pipeline_.put(record);
                after_commit(
                    [this, segment, record = std::move(record), done = std::move(done)](const Error* error) mutable {
                        if (error != nullptr) return done(fail(*error));
                        segment->exists = true;
                        ++segment_count_;
                        if (segment->transient) transients_[segment->id] = segment->name;
                        segment->last_modified_ms = record.created_ms;
                        publish_attributes(*segment, record.attributes);
                        done({});
                    });
            });
}

// ---- seal, truncate, delete ----

void SegmentContainer::Impl::start_seal(Segment& segment) {
    segment.pending.sealed = true;
    pipeline_.put(SealRecord{segment.id});
    after_commit([this, segment = &segment](const Error* error) {
        if (error == nullptr) publish_seal(*segment);
    });
}

void SegmentContainer::Impl::publish_seal(Segment& segment) {
    segment.durable.sealed = true;
    mark(segment);
    segment.last_modified_ms = executor.clock().wall_millis();
    serve_waiting(segment);
    fail_waiting(segment, Errc::kSealed);
}

void SegmentContainer::Impl::seal(const std::string& name, Done<std::int64_t> done) {
    control(SpaceNeed::kFrees, {{want(name)}, {}}, [this, name, done = std::move(done)](const Error* closed) mutable {
        if (closed != nullptr) return done(fail(*closed));
        Segment* segment = find_pending(name);
        if (segment == nullptr || segment->pending.sealed) {
            Error error = segment == nullptr ? missing(name) : Error(Errc::kSealed, name);
            return after_commit(refusal(std::move(done), std::move(error)));
        }
        start_seal(*segment);
        after_commit(reply<std::int64_t>(std::move(done), static_cast<std::int64_t>(segment->pending.length)));
    });
}

void SegmentContainer::Impl::truncate(const std::string& name, std::int64_t offset, Done<> done) {
    control(SpaceNeed::kFrees, {{want(name)}, {}},
            [this, name, offset, done = std::move(done)](const Error* closed) mutable {
                if (closed != nullptr) return done(fail(*closed));
                Segment* segment = find_pending(name);
                if (segment == nullptr) {
                    return after_commit(refusal(std::move(done), missing(name)));
                }
                auto start = static_cast<std::int64_t>(segment->pending.start);
                if (offset < start || offset > static_cast<std::int64_t>(segment->pending.length)) {
                    return after_commit(refusal(std::move(done), Error(Errc::kTruncated, start)));
                }
                if (offset != start) {
                    segment->pending.start = static_cast<std::uint64_t>(offset);
                    pipeline_.put(TruncateRecord{segment->id, segment->pending.start});
                }
                after_commit([this, segment, start = segment->pending.start,
                              done = std::move(done)](const Error* error) mutable {
                    if (error != nullptr) return done(fail(*error));
                    publish_truncate(*segment, start);
                    done({});
                });
            });
}

void SegmentContainer::Impl::publish_truncate(Segment& segment, std::uint64_t start) {
    if (start <= segment.durable.start) return;
    segment.durable.start = start;
    mark(segment);
    segment.last_modified_ms = executor.clock().wall_millis();
    drop_below(segment, start);
    // Nobody may wait below the start: a reader that asked for bytes beyond the length of then is told now.
    std::vector<WaitingRead> late;
    std::erase_if(segment.waiting, [&](WaitingRead& read) {
        if (static_cast<std::uint64_t>(read.offset) >= start) return false;
        late.push_back(std::move(read));
        return true;
    });
    for (WaitingRead& read : late) {
        waiting_reads_.erase(read.id.value());
        read.done(fail(Error(Errc::kTruncated, static_cast<std::int64_t>(start))));
    }
}

void SegmentContainer::Impl::index_grew(Segment& segment, const Extent& extent) {
    usage_.add(extent.address.file, extent.size);
    ++index_entries_;
    segment.log_only_bytes += extent.size;
    tiering_.count_log_only(extent.size);
    if (!segment.dirty) tiering_.became_dirty(segment);
}

void SegmentContainer::Impl::drop_bytes(Segment& segment, const Extent& extent) {
    if (extent.size == 0) return;
    --index_entries_;
    if (!extent.in_log()) return;
    leaves_log(segment, extent);
}

void SegmentContainer::Impl::splice(Segment& target, Segment& source, std::uint64_t base) {
    target.index.splice(source.index, base);
    if (!source.manifest.empty()) tiering_.became_scattered(target);
    tiering_.splice(target, source, base);
    mark(target);
    target.log_only_bytes += std::exchange(source.log_only_bytes, 0);
    target.damaged_bytes += std::exchange(source.damaged_bytes, 0);
    if (target.log_only_bytes > target.damaged_bytes) tiering_.became_dirty(target);
}

void SegmentContainer::Impl::drop_below(Segment& segment, std::uint64_t start) {
    segment.index.drop_below(start, [&](const Extent& extent) { drop_bytes(segment, extent); });
    segment.manifest.drop_below(start, [&](const ManifestEntry& entry) { tiering_.remove(segment, entry); });
}

void SegmentContainer::Impl::remove(const std::string& name, Done<> done) {
    control(SpaceNeed::kFrees, {{want(name)}, {}}, [this, name, done = std::move(done)](const Error* closed) mutable {
        if (closed != nullptr) return done(fail(*closed));
        Segment* segment = find_pending(name);
        if (segment == nullptr) {
            return after_commit(refusal(std::move(done), Error(Errc::kNotFound, name)));
        }
        start_remove(*segment, std::move(done));
    });
}

void SegmentContainer::Impl::start_remove(Segment& segment, Done<> done) {
    segment.pending.gone = true;
    pipeline_.put(DeleteRecord{segment.id});
    after_commit([this, segment = &segment, done = std::move(done)](const Error* error) mutable {
        if (error != nullptr) return done(fail(*error));
        publish_gone(segment, false);
        done({});
    });
}

void SegmentContainer::Impl::publish_gone(Segment* segment, bool merged) {
    segment->durable.gone = true;
    segment->exists = false;
    segment->merged = merged;
    is_gone(*segment);
    segment->index.clear([this, segment](const Extent& extent) { drop_bytes(*segment, extent); });
    segment->manifest.clear([this, segment](const ManifestEntry& entry) { tiering_.remove(*segment, entry); });
    forget_state(*segment);
    fail_waiting(*segment, merged ? Error(Errc::kMerged) : Error(Errc::kNotFound));
    table_segments_.gone(*segment);
    traffic_.gone(*segment);
    if (merged) remember_merged(segment->name);
    std::vector<runtime::Task> waiting = std::exchange(segment->when_gone, {});
    std::erase(touched_, segment);
    auto owned = segments_.extract(segment->id);
    if (segment->sessions > 0 || segment->planned > 0) unused_.emplace(segment, std::move(owned.mapped()));
    for (runtime::Task& task : waiting) executor.post(std::move(task));
}

// The last ones, to answer a merge that is asked for again.
void SegmentContainer::Impl::remember_merged(const std::string& name) {
    constexpr std::size_t kRemembered = 10'000;
    keeper_.changes().put(state::MergedNameRecord{++merges_, name});
    merged_names_.push_back(name);
    ++merged_[name];
    if (merged_names_.size() <= kRemembered) return;
    keeper_.changes().remove(state::MergedNameRecord::key(merges_ - kRemembered));
    if (--merged_[merged_names_.front()] == 0) merged_.erase(merged_names_.front());
    merged_names_.pop_front();
}

// ---- merge ----

// Logs the merge; the result is the end of the merged data in the target. Publication follows by itself.
Result<std::int64_t> SegmentContainer::Impl::start_merge(const std::string& target_name, const std::string& source_name,
                                                         const std::vector<AttributeUpdate>& updates) {
    Segment* source = find_pending(source_name);
    Segment* target = find_pending(target_name);
    if (source == nullptr) {
        if (target != nullptr && merged_.contains(source_name))
            return static_cast<std::int64_t>(target->pending.length);
        return fail(Errc::kNotFound, source_name);
    }
    if (target == nullptr) return fail(Errc::kNotFound, target_name);
    if (source->table != nullptr || target->table != nullptr)
        return fail(Errc::kInvalidArgument, "tables cannot be merged");
    if (source->pending.start > 0)
        return fail(Error(Errc::kTruncated, static_cast<std::int64_t>(source->pending.start)));
    if (!source->pending.sealed) start_seal(*source);
    if (target->pending.sealed) return fail(Errc::kSealed, target_name);
    auto attributes = prepare_attributes(*target, updates);
    if (!attributes) return std::unexpected(attributes.error());

    MergeRecord record{target->id, source->id, target->pending.length, source->pending.length, std::move(*attributes)};
    target->pending.length += source->pending.length;
    source->pending.gone = true;
    pipeline_.put(record);
    after_commit([this, target, source, record = std::move(record)](const Error* error) {
        if (error != nullptr) return;
        traffic_.merging(*target, *source);
        splice(*target, *source, record.target_offset);
        target->durable.length = record.target_offset + record.source_size;
        target->last_modified_ms = executor.clock().wall_millis();
        publish_attributes(*target, record.attributes);
        publish_gone(source, true);
        serve_waiting(*target);
    });
    return static_cast<std::int64_t>(target->pending.length);
}

void SegmentContainer::Impl::merge(const std::string& target, const std::string& source,
                                   std::vector<AttributeUpdate> updates, Done<std::int64_t> done) {
    Needs needs{{want(target), want(source)}, {}};
    for (const AttributeUpdate& update : updates) needs.attributes.push_back(update.id);
    control(SpaceNeed::kOrdinary, std::move(needs),
            [this, target, source, updates = std::move(updates), done = std::move(done)](const Error* closed) mutable {
                if (closed != nullptr) return done(fail(*closed));
                auto end = start_merge(target, source, updates);
                after_commit([end = std::move(end), done = std::move(done)](const Error* error) mutable {
                    if (error != nullptr) return done(fail(*error));
                    done(std::move(end));
                });
            });
}

void SegmentContainer::Impl::merge_batch(const std::string& target, const std::vector<std::string>& sources,
                                         Done<std::vector<std::int64_t>> done) {
    Needs needs{{want(target)}, {}};
    for (const std::string& source : sources) needs.names.push_back(want(source));
    control(SpaceNeed::kOrdinary, std::move(needs),
            [this, target, sources, done = std::move(done)](const Error* closed) mutable {
                if (closed != nullptr) return done(fail(*closed));
                Result<std::vector<std::int64_t>> ends;
                Segment* into = find_pending(target);
                // Without a source nobody looks whether there is a target.
                if (into == nullptr && !sources.empty()) ends = fail(Errc::kNotFound, target);
                for (const std::string& source : sources) {
                    if (!ends) break;
                    auto end = start_merge(target, source, {});
                    if (!end && end.error() == Errc::kNotFound) end = static_cast<std::int64_t>(into->pending.length);
                    if (end)
                        ends->push_back(*end);
                    else
                        ends = fail(end.error());
                }
                after_commit([ends = std::move(ends), done = std::move(done)](const Error* error) mutable {
                    if (error != nullptr) return done(fail(*error));
                    done(std::move(ends));
                });
            });
}

// ---- attributes ----

// Checks all updates against pending values, then sets them: all or none.
Result<AttributeValues> SegmentContainer::Impl::prepare_attributes(Segment& segment,
                                                                   const std::vector<AttributeUpdate>& updates) {
    AttributeValues values;
    for (const AttributeUpdate& update : updates) {
        if (is_immutable(update.id)) return fail(Errc::kInvalidArgument, "this attribute cannot be changed");
        std::int64_t now = kNullAttribute;
        auto found = segment.attributes.find(update.id);
        if (found != segment.attributes.end()) now = found->second.pending;
        for (const auto& [key, value] : values) {
            if (key == update.id) now = value;
        }
        auto value = updated_value(now, update);
        if (!value) return std::unexpected(value.error());
        values.emplace_back(update.id, *value);
    }
    for (const auto& [key, value] : values) {
        AttributeEntry& entry = segment.attribute(key);
        entry.pending = value;
        entry.used = pipeline_.turn();
    }
    return values;
}

void SegmentContainer::Impl::publish_attributes(Segment& segment, const AttributeValues& values) {
    for (const auto& [key, value] : values) publish_attribute(segment, key, value);
}

void SegmentContainer::Impl::publish_attribute(Segment& segment, const Uuid& key, std::int64_t value) {
    AttributeEntry& entry = segment.attribute(key);
    entry.durable = value;
    mark_attribute(segment, entry, key);
    mark(segment);
}

void SegmentContainer::Impl::update_attributes(const std::string& name, std::vector<AttributeUpdate> updates,
                                               Done<> done) {
    Needs needs{{want(name)}, {}};
    for (const AttributeUpdate& update : updates) needs.attributes.push_back(update.id);
    control(SpaceNeed::kOrdinary, std::move(needs),
            [this, name, updates = std::move(updates), done = std::move(done)](const Error* closed) mutable {
                if (closed != nullptr) return done(fail(*closed));
                Segment* segment = find_pending(name);
                Result<AttributeValues> values;
                if (segment == nullptr)
                    values = fail(missing(name));
                else if (segment->pending.sealed)
                    values = fail(Errc::kSealed, name);
                else
                    values = prepare_attributes(*segment, updates);
                if (!values) {
                    return after_commit(refusal(std::move(done), values.error()));
                }
                AttributesRecord record{segment->id, std::move(*values)};
                pipeline_.put(record);
                after_commit(
                    [this, segment, record = std::move(record), done = std::move(done)](const Error* error) mutable {
                        if (error != nullptr) return done(fail(*error));
                        publish_attributes(*segment, record.values);
                        done({});
                    });
            });
}

void SegmentContainer::Impl::attribute(std::string_view name, const Uuid& key, Done<std::int64_t> done) {
    with_durable(name, [this, key, done = std::move(done)](const Segment* segment, Error& error) mutable {
        if (segment == nullptr) return done(fail(std::move(error)));
        if (segment->all_attributes || state::is_core(key) || segment->attributes.contains(key))
            return done(segment->durable_attribute(key));
        std::string at = state::AttributeRecord::key(segment->id, key);
        keeper_.store().get(at, [at, done = std::move(done)](Result<state::StateValue> read) mutable {
            if (!read) return done(fail(std::move(read.error())));
            if (!read->value) return done(kNullAttribute);
            auto record = state::AttributeRecord::decode(at, *read->value);
            if (!record) return done(fail(std::move(record.error())));
            done(record->value);
        });
    });
}

void SegmentContainer::Impl::info(std::string_view name, Done<SegmentInfo> done) {
    with_durable(name, [done = std::move(done)](const Segment* segment, Error& error) mutable {
        if (segment == nullptr && error == Errc::kMerged) return done(fail(Errc::kNotFound, error.message()));
        if (segment == nullptr) return done(fail(std::move(error)));
        done(SegmentInfo{segment->name, static_cast<std::int64_t>(segment->durable.length),
                         static_cast<std::int64_t>(segment->durable.start), segment->durable.sealed,
                         segment->last_modified_ms});
    });
}

std::vector<std::string> SegmentContainer::Impl::transient_segments() const {
    std::vector<std::string> names;
    for (const auto& [segment_id, name] : transients_) names.push_back(name);
    return names;
}

// ---- tables ----

void SegmentContainer::Impl::update_table(std::string table, std::vector<TableUpdate> updates, SpaceNeed need,
                                          Done<std::vector<std::int64_t>> done) {
    control(need, {},
            [this, table = std::move(table), updates = std::move(updates),
             done = std::move(done)](const Error* closed) mutable {
                if (closed != nullptr) return done(fail(*closed));
                auto record = tables_.prepare(std::move(table), std::move(updates));
                if (!record) {
                    return after_commit(refusal(std::move(done), record.error()));
                }
                if (!record->entries.empty()) pipeline_.put(*record);
                after_commit([this, record = std::move(*record), done = std::move(done)](const Error* error) mutable {
                    if (error != nullptr) return done(fail(*error));
                    tables_.publish(record);
                    save_internal(record);
                    std::vector<std::int64_t> versions;
                    versions.reserve(record.entries.size());
                    for (const auto& entry : record.entries) versions.push_back(entry.value ? entry.version : 0);
                    done(std::move(versions));
                });
            });
}

}  // namespace millrace::container
