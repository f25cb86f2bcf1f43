#include "container/tier_reader.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "container/object_format.h"

namespace millrace::container {
namespace {

// Tables of checksums that are kept: 64 bytes for each MiB of object.
constexpr std::size_t kMaxObjects = 4096;

std::uint64_t bytes_of_block(const TieredObject& object, std::uint64_t block, std::uint64_t block_bytes) {
    return std::min(block_bytes, object.data_bytes - block * block_bytes);
}

}  // namespace

TierReader::~TierReader() { *alive_ = false; }

void TierReader::read(const TieredObject& object, std::uint64_t offset, std::size_t max_bytes, bool passing,
                      Done done) {
    bytes::Chain result;
    std::uint64_t end = std::min(object.data_bytes, offset + max_bytes);
    std::uint64_t at = offset;
    while (at < end) {
        std::uint64_t number = at / options_.block_bytes;
        auto found = blocks_.find(BlockKey(object.id, number));
        if (found == blocks_.end() || found->second.data.empty()) break;
        Block& block = found->second;
        std::uint64_t within = at % options_.block_bytes;
        std::uint64_t taken = std::min<std::uint64_t>(block.data.size() - within, end - at);
        result.append(block.data.sub(within, taken));
        at += taken;
        ++stats_.hits;
        bool passed = passing && within + taken == block.data.size();
        order_.splice(passed ? order_.begin() : order_.end(), order_, block.place);
    }
    if (!result.empty() || at >= end) return done(std::move(result));

    ++stats_.misses;
    std::uint64_t first = at / options_.block_bytes;
    std::uint64_t last = (end - 1) / options_.block_bytes;
    auto again = [this, object, offset, max_bytes, passing, done = std::move(done)](Result<> there) mutable {
        if (!there) return done(fail(there.error()));
        read(object, offset, max_bytes, passing, std::move(done));
    };
    load(find(object), first, last - first + 1);  // never ends within the call
    blocks_.find(BlockKey(object.id, first))->second.waiting.emplace_back(std::move(again));
}

std::uint64_t TierReader::will_need(const TieredObject& object, std::uint64_t offset, std::uint64_t size) {
    std::uint64_t end = std::min(object.data_bytes, offset + size);
    std::uint64_t at = offset;
    ObjectRef known;
    while (at < end && loading_bytes_ < options_.loading_bytes) {
        std::uint64_t first = at / options_.block_bytes;
        std::uint64_t count = 0;
        std::uint64_t most = std::max<std::uint64_t>(1, options_.range_bytes / options_.block_bytes);
        while (count < most && (first + count) * options_.block_bytes < end &&
               !blocks_.contains(BlockKey(object.id, first + count))) {
            ++count;
        }
        if (count > 0) {
            if (!known) known = find(object);
            load(known, first, count);
        }
        at = (first + std::max<std::uint64_t>(count, 1)) * options_.block_bytes;
    }
    return std::min(at, end) - std::min(offset, end);
}

void TierReader::forget(ObjectId object) {
    objects_.erase(object);
    for (auto at = order_.begin(); at != order_.end();) {
        auto next = std::next(at);
        if (at->first == object) {
            auto found = blocks_.find(*at);
            stats_.cached_bytes -= found->second.data.size();
            blocks_.erase(found);
            order_.erase(at);
        }
        at = next;
    }
}

TierReader::ObjectRef TierReader::find(const TieredObject& object) {
    auto [found, is_new] = objects_.try_emplace(object.id);
    if (is_new) {
        found->second = std::make_shared<Object>();
        found->second->record = object;
        ObjectRef made = found->second;
        if (objects_.size() > kMaxObjects) {
            absl::erase_if(objects_, [&](const auto& entry) { return entry.second != made && !entry.second->loading; });
        }
        return made;
    }
    return found->second;
}

void TierReader::with_table(const ObjectRef& object, runtime::Callback<Result<>> then) {
    if (!object->table.empty()) return then({});
    object->waiting.push_back(std::move(then));
    if (std::exchange(object->loading, true)) return;
    const TieredObject& record = object->record;
    store_.read(record.key, record.data_bytes, object_footer_bytes(record.data_bytes),
                [this, alive = alive_, object](Result<bytes::Slice> footer) {
                    if (*alive) table_read(object, std::move(footer));
                });
}

void TierReader::table_read(const ObjectRef& object, Result<bytes::Slice> footer) {
    object->loading = false;
    Result<> result;
    if (!footer) {
        result = fail(describe(*object, footer.error(), object->record.data_bytes));
    } else {
        auto table = read_footer(footer->span(), object->record.data_bytes, object->record.key);
        if (table)
            object->table = std::move(*table);
        else
            result = fail(describe(*object, table.error(), object->record.data_bytes));
    }
    auto waiting = std::exchange(object->waiting, {});
    for (auto& then : waiting) then(result);
}

void TierReader::load(const ObjectRef& object, std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t block = first; block < first + count;) {
        std::uint64_t most = std::max<std::uint64_t>(1, options_.range_bytes / options_.block_bytes);
        std::uint64_t run = 0;
        while (run < most && block + run < first + count) {
            auto [made, is_new] = blocks_.try_emplace(BlockKey(object->record.id, block + run));
            if (!is_new) break;
            loading_bytes_ += bytes_of_block(object->record, block + run, options_.block_bytes);
            ++run;
        }
        if (run > 0) fetch(object, block, run);
        block += std::max<std::uint64_t>(run, 1);
    }
}

void TierReader::fetch(const ObjectRef& object, std::uint64_t first, std::uint64_t count) {
    std::uint64_t begin = first * options_.block_bytes;
    std::uint64_t end = std::min(object->record.data_bytes, (first + count) * options_.block_bytes);
    ++stats_.loads;
    if (object->table.empty() && !object->loading) with_table(object, [](Result<>) {});  // comes beside the data
    store_.read(object->record.key, begin, end - begin,
                [this, alive = alive_, object, first, count](Result<bytes::Slice> data) {
                    if (*alive) loaded(object, first, count, std::move(data));
                });
}

void TierReader::loaded(const ObjectRef& object, std::uint64_t first, std::uint64_t count, Result<bytes::Slice> data) {
    if (!data) return failed(object, first, count, describe(*object, data.error(), first * options_.block_bytes));
    // Whoever calls this back holds the object; if this held it too, neither would ever go.
    with_table(object, [this, weak = std::weak_ptr(object), first, count, data = std::move(*data)](Result<> there) {
        ObjectRef held = weak.lock();
        if (!there) return failed(held, first, count, there.error());
        check(held, first, count, data);
    });
}

void TierReader::check(const ObjectRef& object, std::uint64_t first, std::uint64_t count, const bytes::Slice& data) {
    std::uint64_t begin = first * options_.block_bytes;
    if (auto damaged = first_damaged_block(data.span(), begin / kObjectBlock, object->table)) {
        return failed(
            object, first, count,
            describe(*object, Error(Errc::kCorrupt, "its bytes do not match their checksum"), begin + *damaged));
    }
    stats_.loaded_bytes += data.size();
    std::vector<runtime::Callback<Result<>>> waiting;
    for (std::uint64_t i = 0; i < count; ++i) {
        BlockKey key(object->record.id, first + i);
        auto found = blocks_.find(key);
        if (found == blocks_.end()) continue;
        std::uint64_t size = bytes_of_block(object->record, first + i, options_.block_bytes);
        loading_bytes_ -= size;
        Block& block = found->second;
        block.data = data.sub(i * options_.block_bytes, size);
        block.place = order_.insert(order_.end(), key);
        stats_.cached_bytes += size;
        for (auto& then : block.waiting) waiting.push_back(std::move(then));
        block.waiting.clear();
    }
    // Those who wait take their bytes before anything is dropped.
    for (auto& then : waiting) then({});
    trim();
}

void TierReader::failed(const ObjectRef& object, std::uint64_t first, std::uint64_t count, const Error& error) {
    // Once, not with each read: who reads there is told every time. An object that is no longer known was removed.
    auto known = objects_.find(object->record.id);
    bool counts = error == Errc::kCorrupt && known != objects_.end() && known->second == object;
    if (counts && !std::exchange(object->told, true)) log::error("{}", error.message());
    std::vector<runtime::Callback<Result<>>> waiting;
    for (std::uint64_t i = 0; i < count; ++i) {
        auto found = blocks_.find(BlockKey(object->record.id, first + i));
        if (found == blocks_.end()) continue;
        loading_bytes_ -= bytes_of_block(object->record, first + i, options_.block_bytes);
        for (auto& then : found->second.waiting) waiting.push_back(std::move(then));
        blocks_.erase(found);
    }
    for (auto& then : waiting) then(fail(error));
}

void TierReader::trim() {
    while (stats_.cached_bytes > options_.cache_bytes && !order_.empty()) {
        auto found = blocks_.find(order_.front());
        stats_.cached_bytes -= found->second.data.size();
        blocks_.erase(found);
        order_.pop_front();
    }
}

Error TierReader::describe(const Object& object, const Error& error, std::uint64_t offset) const {
    // What the log names must be there, and whole.
    Errc code = error == Errc::kNotFound ? Errc::kCorrupt : error.code();
    return {code, fmt::format("object {} in long-term storage, at byte {}: {}", object.record.key, offset,
                              error == Errc::kNotFound ? "it is missing" : error.message())};
}

}  // namespace millrace::container
