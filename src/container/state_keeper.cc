#include "container/state_keeper.h"

#include <utility>

#include "base/assert.h"
#include "base/log.h"

namespace millrace::container {

void StateKeeper::published(LogSequence sequence) {
    MILLRACE_ASSERT(sequence > published_);
    published_ = sequence;
    if (started_) maybe_save();
}

void StateKeeper::maybe_save() {
    if (failed_ || closed_ || encoding_ || under_way_ >= kUnderWayMax || published_ == queued_) return;
    bool enough = marked_ >= options_.marked_max || changes_.size_bytes() >= options_.batch_bytes;
    if (!enough && !flush_wanted_ && !save_wanted_) return;
    encoding_ = true;
    encode_slice(kSlice);
}

// Between two slices frames mark what was encoded already. As slices grow, a batch ends however fast that goes.
void StateKeeper::encode_slice(std::size_t most) {
    if (failed_ || closed_) return;
    if (host_.encode_marked(changes_, most)) return send();
    executor_.post([this, most, alive = std::weak_ptr<bool>(alive_)] {
        if (alive.lock()) encode_slice(2 * most);
    });
}

void StateKeeper::send() {
    encoding_ = false;
    marked_ = 0;
    save_wanted_ = false;
    queued_ = published_;
    std::uint64_t number = ++batches_;
    bytes_since_flush_ += changes_.size_bytes();
    ++under_way_;
    host_.sealed(number);
    store_->apply(std::exchange(changes_, {}), queued_, [this, number](Result<> result) {
        --under_way_;
        if (!result) return fail(result.error());
        host_.saved(number);
        if (!failed_) maybe_save();
    });
    if (flush_wanted_) flush();
}

void StateKeeper::want_save() {
    constexpr std::chrono::milliseconds kPace{500};
    auto now = executor_.clock().now();
    if (save_wanted_ || now - wanted_before_ < kPace) return;
    wanted_before_ = now;
    save_wanted_ = true;
    maybe_save();
}

void StateKeeper::checkpoint(Flushed done) {
    if (failed_ || closed_) return;
    flushed_.push_back(std::move(done));
    if (flush_wanted_) return;
    flush_wanted_ = true;
    if (published_ == queued_ && !encoding_) return flush();
    maybe_save();
}

void StateKeeper::flush() {
    flush_wanted_ = false;
    bytes_since_flush_ = 0;
    store_->flush([this, waiting = std::exchange(flushed_, {})](Result<LogSequence> result) mutable {
        if (!result && result.error() == Errc::kUnavailable) {  // not now
            for (Flushed& done : waiting) flushed_.push_back(std::move(done));
            flush_wanted_ = true;
            constexpr std::chrono::milliseconds kRetry{100};
            executor_.call_after(kRetry, [this, alive = std::weak_ptr<bool>(alive_)] {
                if (alive.lock() && flush_wanted_ && !failed_ && !closed_) flush();
            });
            return;
        }
        if (!result) return fail(result.error());
        for (Flushed& done : waiting) done(*result);
    });
}

void StateKeeper::fail(const Error& error) {
    if (std::exchange(failed_, true)) return;
    flushed_.clear();
    if (closed_) return;
    if (!finishing_) return host_.state_failed(error);
    // No reason not to end: the log has everything.
    log::warn("the state could not be brought to the disk, the next start replays more of the log: {}",
              error.to_string());
    close(std::exchange(finishing_, {}));
}

void StateKeeper::finish(bool flush_first, runtime::Task done) {
    if (!flush_first || failed_) return close(std::move(done));
    finishing_ = std::move(done);
    store_->end_waiting();
    checkpoint([this](LogSequence) { close(std::exchange(finishing_, {})); });
}

void StateKeeper::close(runtime::Task done) {
    closed_ = true;
    flushed_.clear();
    store_->close(std::move(done));
}

}  // namespace millrace::container
