// Which segments are in memory: names are looked up in the state when an operation needs them, idle segments that the
// state has are evicted.
#include <fmt/format.h>

#include "base/log.h"
#include "container/container_impl.h"
#include "container/state/attribute_record.h"
#include "container/state/manifest_record.h"
#include "container/state/name_record.h"
#include "container/state/segment_record.h"

namespace millrace::container {
namespace {
constexpr std::size_t kAttributesKept = 1024;  // of a segment in memory, besides those in use
constexpr std::size_t kManifestPage = 4096;
}  // namespace

// A segment on its way from the state.
struct SegmentLoad {
    SegmentId id;
    NameRef entry;
    std::string name;
    StoredSegment stored;
    std::optional<Error> error;
    int left = 3;
};

// ---- what operations need ----

NameRef SegmentContainer::Impl::want(std::string_view name) {
    auto found = names_.find(name);
    if (found != names_.end()) return found->second;
    auto entry = std::make_shared<NameEntry>();
    names_.emplace(std::string(name), entry);
    load_name(entry, std::string(name));
    return entry;
}

bool SegmentContainer::Impl::is_ready(Control& control) {
    for (const NameRef& name : control.needs.names) {
        if (name->loading) return false;
        if (name->error) control.error = name->error;
    }
    if (control.error || control.needs.attributes.empty()) return true;
    Segment* segment = control.needs.names.front()->segment;
    if (segment == nullptr || segment->pending.gone || segment->all_attributes) return true;
    bool all = true;
    for (const Uuid& key : control.needs.attributes) {
        if (state::is_core(key) || segment->attributes.contains(key)) continue;
        auto [loading, is_new] = loading_attributes_.try_emplace(std::pair(segment->id, key));
        if (is_new) load_attribute(*segment, key);
        if (loading->second) {
            control.error = std::move(loading->second);
            loading_attributes_.erase(loading);
            return true;
        }
        all = false;
    }
    return all;
}

void SegmentContainer::Impl::load_attribute(Segment& segment, const Uuid& key) {
    std::string at = state::AttributeRecord::key(segment.id, key);
    keeper_.store().get(at, [this, segment_id = segment.id, key, at](Result<state::StateValue> read) {
        auto waiting = loading_attributes_.find(std::pair(segment_id, key));
        auto found = segments_.find(segment_id);
        std::int64_t value = kNullAttribute;
        std::optional<Error> error;
        if (!read) {
            error = read.error();
        } else if (read->value) {
            auto record = state::AttributeRecord::decode(at, *read->value);
            if (record)
                value = record->value;
            else
                error = record.error();
        }
        if (error) {
            waiting->second = std::move(error);
        } else {
            loading_attributes_.erase(waiting);
            if (found != segments_.end() && !found->second->attributes.contains(key)) {
                AttributeEntry& entry = found->second->attribute(key);
                entry.durable = entry.pending = value;
                entry.used = pipeline_.turn();
            }
        }
        process();
    });
}

// ---- loading ----

void SegmentContainer::Impl::load_name(const NameRef& entry, const std::string& name) {
    entry->loading = true;
    ++loads_;
    std::string key = state::NameRecord::key(name);
    keeper_.store().get(key, [this, entry, name, key](Result<state::StateValue> read) {
        if (!read) {
            entry->error = read.error();
            return name_is_known(entry, name);
        }
        if (!read->value) return name_is_known(entry, name);
        auto record = state::NameRecord::decode(key, *read->value);
        if (record) return load_segment(entry, name, record->id);
        entry->error = record.error();
        name_is_known(entry, name);
    });
}

void SegmentContainer::Impl::load_segment(const NameRef& entry, const std::string& name, SegmentId segment_id) {
    auto load = std::make_shared<SegmentLoad>();
    load->id = segment_id;
    load->entry = entry;
    load->name = name;
    std::string key = state::SegmentRecord::key(segment_id);
    keeper_.store().get(key, [this, load, key](Result<state::StateValue> read) {
        if (!read) return load_part(load, read.error());
        if (read->value) load->stored.segment.emplace_back(key, std::move(*read->value));
        load_part(load, std::nullopt);
    });
    state::ScanRequest attributes{state::AttributeRecord::range(segment_id)};
    attributes.max_entries = kLoadedAttributes;
    keeper_.store().scan(std::move(attributes), [this, load](Result<state::ScanPage> page) {
        if (!page) return load_part(load, page.error());
        load->stored.attributes = std::move(page->entries);
        load->stored.all_attributes = !page->rest;
        load_part(load, std::nullopt);
    });
    load_manifest(load, state::ManifestRecord::range(segment_id));
}

void SegmentContainer::Impl::load_manifest(const std::shared_ptr<SegmentLoad>& load, state::KeyRange range) {
    state::ScanRequest request{std::move(range)};
    request.max_entries = kManifestPage;
    keeper_.store().scan(std::move(request), [this, load](Result<state::ScanPage> page) {
        if (!page) return load_part(load, page.error());
        for (auto& entry : page->entries) load->stored.manifest.push_back(std::move(entry));
        if (page->rest) return load_manifest(load, std::move(*page->rest));
        load_part(load, std::nullopt);
    });
}

void SegmentContainer::Impl::load_part(const std::shared_ptr<SegmentLoad>& load, std::optional<Error> error) {
    if (error && !load->error) load->error = std::move(error);
    if (--load->left > 0) return;
    auto finish = [&]() -> Result<> {
        if (load->error) return fail(*load->error);
        auto decoded = decode_segment(load->stored);
        if (!decoded) return fail(std::move(decoded.error()));
        const Segment& segment = **decoded;
        if (segment.id != load->id || segment.name != load->name) {
            return fail(Errc::kCorrupt, fmt::format("the state has another segment by the name of {}", load->name));
        }
        // What is not in memory has nothing that is only in the log.
        bool whole = segment.table != nullptr || segment.manifest.covers(segment.durable.start, segment.durable.length);
        if (!whole) return fail(Errc::kCorrupt, fmt::format("segment {} lacks bytes", load->name));
        adopt(std::move(*decoded));
        return {};
    };
    if (auto finished = finish(); !finished) {
        log::error("container {}: segment {} cannot be loaded: {}", id.value(), load->name,
                   finished.error().to_string());
        load->entry->error = finished.error();
    }
    name_is_known(load->entry, load->name);
}

// A segment that could not be loaded is tried again by whoever asks next.
void SegmentContainer::Impl::name_is_known(const NameRef& entry, const std::string& name) {
    entry->loading = false;
    if (entry->error)
        names_.erase(name);
    else if (entry->segment == nullptr)
        absent_.push_back(name);
    for (runtime::Task& task : std::exchange(entry->waiting, {})) task();
    process();
    forget_absent(2);
    trim(4);
}

Segment& SegmentContainer::Impl::adopt(std::unique_ptr<Segment> owned) {
    Segment& segment = *owned;
    NameRef& entry = names_[segment.name];
    if (!entry) entry = std::make_shared<NameEntry>();
    entry->segment = &segment;
    segments_.emplace(segment.id, std::move(owned));
    clock_.push_back(segment.id);
    return segment;
}

Result<Segment*> SegmentContainer::Impl::load_now(SegmentId segment_id) {
    if (gone_in_replay_.contains(segment_id)) return nullptr;
    StoredSegment stored;
    state::StateStore& store = keeper_.store();
    auto into = [](auto& records) {
        return [&records](std::string_view key, std::string_view value) -> Result<> {
            records.emplace_back(key, value);
            return {};
        };
    };
    std::string key = state::SegmentRecord::key(segment_id);
    if (auto read = store.load({key, state::next_key(key)}, into(stored.segment)); !read) return fail(read.error());
    if (stored.segment.empty()) return nullptr;
    auto some = [&](std::string_view k, std::string_view v) -> Result<> {
        if (stored.attributes.size() == kLoadedAttributes) {
            stored.all_attributes = false;
            return fail(Errc::kLimit, "enough");
        }
        stored.attributes.emplace_back(k, v);
        return {};
    };
    auto attributes = store.load(state::AttributeRecord::range(segment_id), some);
    if (!attributes && stored.all_attributes) return fail(attributes.error());
    if (auto read = store.load(state::ManifestRecord::range(segment_id), into(stored.manifest)); !read)
        return fail(read.error());
    auto decoded = decode_segment(stored);
    if (!decoded) return fail(std::move(decoded.error()));
    if ((*decoded)->id != segment_id) return fail(Errc::kCorrupt, "a segment in another one's place");
    return &adopt(std::move(*decoded));
}

// ---- forgetting ----

void SegmentContainer::Impl::is_gone(Segment& segment) {
    --segment_count_;
    transients_.erase(segment.id);
    if (!started_) gone_in_replay_.insert(segment.id);
    auto found = names_.find(segment.name);
    if (found == names_.end() || found->second->segment != &segment) return;
    found->second->segment = nullptr;
    tombstones_.emplace_back(keeper_.next_batch(), found->second);
    absent_.push_back(segment.name);
}

void SegmentContainer::Impl::forget_absent(std::size_t steps) {
    for (; steps > 0 && !absent_.empty(); --steps) {
        std::string name = std::move(absent_.front());
        absent_.pop_front();
        auto found = names_.find(name);
        if (found == names_.end() || found->second->segment != nullptr || found->second->loading) continue;
        if (found->second.use_count() > 1)
            absent_.push_back(std::move(name));
        else
            names_.erase(found);
    }
}

// Nothing is known of it that the state does not have, and nobody counts on it.
bool SegmentContainer::Impl::is_idle(const Segment& segment) const {
    bool saved = segment.exists && segment.stored && !segment.marked && segment.marked_attributes.empty() &&
                 segment.batch <= saved_batch_;
    bool unused = segment.sessions == 0 && segment.waiting.empty() && segment.when_gone.empty() && !segment.touched &&
                  segment.planned == 0 && !segment.pending.gone && pipeline_.is_over(segment.used);
    if (!saved || !unused || segment.log_only_bytes > 0 || segment.dirty) return false;
    const TableState* table = segment.table.get();
    if (table != nullptr &&
        (table->busy || table->running || table->in_flight > 0 || !table->waiting.empty() || !table->pending.empty())) {
        return false;
    }
    auto name = names_.find(segment.name);
    return name != names_.end() && name->second.use_count() == 1;
}

// Evicts idle segments while there are too many: those that were not used since they were last looked at.
void SegmentContainer::Impl::trim(std::size_t steps) {
    if (failed_ || !started_) return;
    for (; steps > 0 && !clock_.empty(); --steps) {
        bool too_many = segments_.size() > options_.state.resident_segments;
        if (!too_many && clock_.size() <= 2 * segments_.size() + 64) return;
        SegmentId segment_id = clock_.front();
        clock_.pop_front();
        auto found = segments_.find(segment_id);
        if (found == segments_.end()) continue;
        Segment& segment = *found->second;
        if (!too_many || std::exchange(segment.visited, false) || !is_idle(segment)) {
            clock_.push_back(segment_id);
            continue;
        }
        segment.index.clear([&](const Extent& extent) { drop_bytes(segment, extent); });
        traffic_.gone(segment);
        names_.erase(segment.name);
        segments_.erase(found);
        ++evicted_;
    }
}

// Those of writers that have left, and of whoever asked: the state has them.
void SegmentContainer::Impl::drop_attributes(Segment& segment) {
    segment.crowded = false;
    std::size_t before = segment.attributes.size();
    absl::erase_if(segment.attributes, [&](const auto& item) {
        const AttributeEntry& entry = item.second;
        bool saved = !entry.marked && entry.batch <= saved_batch_;
        return saved && !state::is_core(item.first) && entry.pins == 0 && entry.pending == entry.durable &&
               pipeline_.is_over(entry.used);
    });
    if (segment.attributes.size() < before) segment.all_attributes = false;
}

void SegmentContainer::Impl::note_crowded(Segment& segment) {
    if (segment.crowded || segment.attributes.size() < 2 * (kAttributesKept + segment.sessions)) return;
    segment.crowded = true;
    crowded_.push_back(segment.id);
}

}  // namespace millrace::container
