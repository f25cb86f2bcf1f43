#include "wal/local/file_pool.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"

namespace millrace::wal::local {
namespace {

constexpr std::size_t kReadyAtStart = 1;  // until the first file is full: a quiet journal needs no more
constexpr std::size_t kReadyInUse = 2;
// Recycled files beyond are removed. Making a file costs as much writing as filling it, so a busy journal keeps what it
// will need again: a part of its limit, and little where the disk is short.
constexpr std::size_t kReadyLeast = 4;
constexpr std::uint64_t kReadyShare = 16;

}  // namespace

FilePool::FilePool(io::FileSystem& files, JournalDirectory directory, const JournalOptions& options,
                   const RecoveredJournal& recovered)
    : files_(files),
      directory_(std::move(directory)),
      options_(options),
      journal_(recovered.journal),
      live_(recovered.live),
      ready_(recovered.ready) {
    next_generation_ = (ready_.empty() ? live_ : ready_).back()->generation.next();
    for (const JournalFileRef& file : live_) used_bytes_ += file->bytes;
    for (const JournalFileRef& file : ready_) used_bytes_ += file->bytes;
}

void FilePool::start(IsFree is_free, std::function<void()> on_change, std::function<void(const Error&)> on_failure) {
    is_free_ = std::move(is_free);
    on_change_ = std::move(on_change);
    on_failure_ = std::move(on_failure);
    stopped_ = false;
    maintain();
}

JournalFileRef FilePool::find(Generation generation) const {
    if (generation < live_.front()->generation || generation > live_.back()->generation) return nullptr;
    return live_[generation.value() - live_.front()->generation.value()];
}

void FilePool::advance() {
    MILLRACE_ASSERT(!ready_.empty());
    live_.push_back(std::move(ready_.front()));
    ready_.pop_front();
    advanced_ = true;
}

bool FilePool::may_grow() const { return !no_space_ && below_limit(); }

std::size_t FilePool::ready_max() const {
    if (no_space_) return kReadyLeast;
    return std::max<std::size_t>(kReadyLeast, options_.limit_bytes / kReadyShare / options_.file_bytes);
}

bool FilePool::needs_file() const { return ready_.size() < (advanced_ ? kReadyInUse : kReadyAtStart); }

std::vector<std::uint64_t> FilePool::sizes_ahead() const {
    std::vector<std::uint64_t> sizes;
    for (const JournalFileRef& file : ready_) sizes.push_back(file->bytes);
    if (coming_bytes_ > 0) sizes.push_back(coming_bytes_);
    return sizes;
}

void FilePool::maintain() {
    if (busy_ || stopped_) return;
    if (recycle_oldest()) return;
    if (!needs_file() || !below_limit()) return;
    if (!no_space_ || (ready_.empty() && !reserve_failed_)) make_file();
}

void FilePool::retry() {
    if (busy_ || stopped_) return;
    if (recycle_oldest()) return;
    reserve_failed_ = false;
    if (!needs_file())
        no_space_ = false;  // recycled files took the place of the one that failed; the next need will show
    else if (below_limit())
        make_file();
}

bool FilePool::recycle_oldest() {
    if (live_.size() < 2 || !live_[1]->started || !is_free_(*live_[0])) return false;
    JournalFileRef oldest = std::move(live_.front());
    live_.pop_front();
    bool reused =
        oldest->bytes == options_.file_bytes && ready_.size() < ready_max() && used_bytes_ <= options_.limit_bytes;
    Generation generation = next_generation_;
    if (reused) coming_bytes_ = oldest->bytes;
    auto job = [journal = journal_, oldest, generation, reused](JournalDirectory& directory) -> Result<JournalFileRef> {
        if (reused) return directory.reuse(journal, oldest, generation);
        if (auto removed = directory.remove(*oldest); !removed) return fail(removed.error());
        return JournalFileRef();
    };
    run(std::move(job), [oldest](FilePool& pool, Result<JournalFileRef> file) {
        if (!file) {
            pool.stopped_ = true;
            log::error("journal file {} cannot be recycled: {}", oldest->path, file.error().to_string());
            pool.on_failure_(file.error());
            return;
        }
        if (*file != nullptr) {
            pool.ready_.push_back(std::move(*file));
            pool.next_generation_ = pool.next_generation_.next();
            pool.reserve_made_ = false;
        } else {
            pool.used_bytes_ -= oldest->bytes;
        }
    });
    return true;
}

void FilePool::make_file() {
    // The file that reserved frames may need is worth the last of the disk.
    bool reserve = ready_.empty();
    std::uint64_t bytes = options_.file_bytes;
    used_bytes_ += bytes;
    coming_bytes_ = bytes;
    auto job = [journal = journal_, generation = next_generation_, bytes,
                min_free = reserve ? 0 : options_.min_free_bytes](JournalDirectory& directory) {
        return directory.create(journal, generation, bytes, min_free);
    };
    run(std::move(job), [bytes, reserve](FilePool& pool, Result<JournalFileRef> file) {
        if (file) {
            if (!reserve) pool.no_space_ = false;
            pool.reserve_made_ = reserve && pool.no_space_;
            pool.ready_.push_back(std::move(*file));
            pool.next_generation_ = pool.next_generation_.next();
            return;
        }
        if (!pool.no_space_) log::warn("no further journal file: {}", file.error().to_string());
        pool.no_space_ = true;
        if (reserve) pool.reserve_failed_ = true;
        pool.used_bytes_ -= bytes;
    });
}

void FilePool::run(Job job, std::function<void(FilePool&, Result<JournalFileRef>)> finish) {
    busy_ = true;
    auto outcome = std::make_shared<Result<JournalFileRef>>();
    auto work = [directory = directory_, outcome, job = std::move(job)]() mutable { *outcome = job(directory); };
    auto done = [weak = weak_from_this(), outcome, finish = std::move(finish)] {
        auto self = weak.lock();
        if (self == nullptr) return;
        self->busy_ = false;
        self->coming_bytes_ = 0;
        finish(*self, std::move(*outcome));
        self->maintain();
        self->on_change_();
    };
    files_.run_blocking(std::move(work), std::move(done));
}

}  // namespace millrace::wal::local
