#include "container/state/memory_state_store.h"

#include "base/assert.h"

namespace millrace::container::state {
namespace {

using Map = std::map<std::string, std::string, std::less<>>;

struct MapWriter {
    Map& map;
    void put(std::string_view key, std::string_view value) { map.insert_or_assign(std::string(key), value); }
    void remove(std::string_view key) {
        auto found = map.find(key);
        if (found != map.end()) map.erase(found);
    }
    void remove_range(std::string_view begin, std::string_view end) {
        map.erase(map.lower_bound(begin), map.lower_bound(end));
    }
};

void write(Map& map, const StateBatch& batch) { batch.for_each(MapWriter{map}); }

}  // namespace

MemoryStateStore::MemoryStateStore(std::shared_ptr<MemoryStateDisk> disk, runtime::Executor& executor)
    : disk_(std::move(disk)), executor_(executor) {
    crash();
}

void MemoryStateStore::crash() {
    life_ = std::make_shared<int>(0);
    entries_ = disk_->entries;
    written_ = acknowledged_ = flushed_ = disk_->applied;
    unflushed_.clear();
    queued_batches_ = queued_bytes_ = 0;
    failed_.reset();
    closed_ = false;
}

void MemoryStateStore::post(runtime::Task task) {
    executor_.post([life = std::weak_ptr<int>(life_), task = std::move(task)]() mutable {
        if (life.lock()) task();
    });
}

Result<> MemoryStateStore::load(const KeyRange& range, const Visit& visit) {
    for (auto at = entries_.lower_bound(range.begin); at != entries_.end() && range.contains(at->first); ++at) {
        if (auto visited = visit(at->first, at->second); !visited) return visited;
    }
    return {};
}

void MemoryStateStore::apply(StateBatch batch, LogSequence through, Done<> done) {
    MILLRACE_ASSERT(through > written_);
    if (!failed_ && apply_error_) failed_ = std::exchange(apply_error_, std::nullopt);
    if (closed_ || failed_) {
        Error error = failed_.value_or(Error(Errc::kClosed));
        post([error = std::move(error), done = std::move(done)]() mutable { done(fail(std::move(error))); });
        return;
    }
    write(entries_, batch);
    written_ = through;
    std::size_t size = batch.size_bytes();
    ++queued_batches_;
    queued_bytes_ += size;
    unflushed_.push_back({std::move(batch), through});
    post([this, through, size, done = std::move(done)]() mutable {
        acknowledged_ = through;
        --queued_batches_;
        queued_bytes_ -= size;
        done({});
    });
}

void MemoryStateStore::flush(Done<LogSequence> done) {
    post([this, through = written_, done = std::move(done)]() mutable {
        if (closed_) return done(fail(Errc::kClosed));
        if (!failed_ && flush_error_) failed_ = flush_error_;
        if (failed_) return done(fail(*failed_));
        if (!forgets_flushes_) write_out(through);
        ++flushes_;
        done(through);
    });
}

void MemoryStateStore::write_out(LogSequence through) {
    while (!unflushed_.empty() && unflushed_.front().through <= through) {
        write(disk_->entries, unflushed_.front().batch);
        unflushed_.pop_front();
    }
    disk_->applied = std::max(disk_->applied, through);
    flushed_ = disk_->applied;
}

void MemoryStateStore::write_out_early(std::size_t batches) {
    if (batches > 0 && !unflushed_.empty()) write_out(unflushed_[std::min(batches, unflushed_.size()) - 1].through);
}

void MemoryStateStore::get(std::string key, Done<StateValue> done) {
    post([this, key = std::move(key), done = std::move(done)]() mutable {
        if (closed_) return done(fail(Errc::kClosed));
        StateValue result;
        result.includes = written_;
        auto found = entries_.find(key);
        if (found != entries_.end()) result.value = found->second;
        done(std::move(result));
    });
}

void MemoryStateStore::multi_get(std::vector<std::string> keys, Done<StateValues> done) {
    post([this, keys = std::move(keys), done = std::move(done)]() mutable {
        if (closed_) return done(fail(Errc::kClosed));
        StateValues result;
        result.includes = written_;
        for (const std::string& key : keys) {
            auto found = entries_.find(key);
            result.values.push_back(found == entries_.end() ? std::nullopt : std::optional(found->second));
        }
        done(std::move(result));
    });
}

void MemoryStateStore::scan(ScanRequest request, Done<ScanPage> done) {
    post([this, request = std::move(request), done = std::move(done)]() mutable {
        if (closed_) return done(fail(Errc::kClosed));
        ScanPage page;
        page.includes = written_;
        const KeyRange& range = request.range;
        auto first = entries_.lower_bound(range.begin);
        auto last = range.end.empty() ? entries_.end() : entries_.lower_bound(range.end);
        if (!range.end.empty() && range.end < range.begin) last = first;
        std::size_t size = 0;
        while (first != last) {
            if (page.entries.size() >= request.max_entries || (size >= request.max_bytes && !page.entries.empty())) {
                const std::string& at = page.entries.back().first;
                page.rest = request.descending ? KeyRange{range.begin, at} : KeyRange{next_key(at), range.end};
                break;
            }
            auto taken = request.descending ? --last : first++;
            size += taken->first.size() + taken->second.size();
            page.entries.emplace_back(taken->first, taken->second);
        }
        done(std::move(page));
    });
}

StateStats MemoryStateStore::stats() const {
    StateStats stats;
    stats.applied = acknowledged_;
    stats.flushed = flushed_;
    stats.queued_batches = queued_batches_;
    stats.queued_bytes = queued_bytes_;
    stats.flushes = flushes_;
    for (const auto& [key, value] : disk_->entries) stats.disk_bytes += key.size() + value.size();
    for (const Applied& applied : unflushed_) stats.write_buffer_bytes += applied.batch.size_bytes();
    stats.trouble = failed_;
    return stats;
}

void MemoryStateStore::close(runtime::Task closed) {
    post([this, closed = std::move(closed)]() mutable {
        closed_ = true;
        closed();
    });
}

}  // namespace millrace::container::state
