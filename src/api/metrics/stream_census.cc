#include "api/metrics/stream_census.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

namespace millrace::metrics {
namespace {

constexpr int kShareOfTime = 20;
constexpr std::size_t kCountsAtOnce = 16;

bool is_internal(std::string_view name) { return name.starts_with('_'); }

}  // namespace

// A census that is being taken.
struct StreamCensus::Walk {
    Census census;
    std::vector<std::string> scopes;
    std::size_t next_scope = 0;
    std::chrono::steady_clock::time_point begun;
};

// Streams whose segments are being counted, several at once.
struct StreamCensus::Count {
    std::vector<StreamSegments> streams;
    std::vector<bool> exists;
    std::size_t next = 0;
    std::size_t under_way = 0;
    runtime::Callback<std::vector<StreamSegments>> done;
};

struct StreamCensus::Waiting {
    runtime::Callback<CensusRef> done;
    runtime::TimerId timer;
};

StreamCensus::StreamCensus(runtime::Executor& executor, controller::Controller& controller, std::size_t named_max)
    : executor_(executor), controller_(controller), named_max_(named_max) {}

StreamCensus::~StreamCensus() = default;

bool StreamCensus::is_fresh() const {
    return last_ != nullptr && executor_.clock().now() - last_->taken < kShareOfTime * took_;
}

void StreamCensus::take(std::chrono::milliseconds patience, runtime::Callback<CensusRef> done) {
    if (is_fresh()) {
        return executor_.post([last = last_, done = std::move(done)]() mutable { done(std::move(last)); });
    }
    auto waiting = std::make_shared<Waiting>(Waiting{std::move(done), {}});
    waiting_.push_back(waiting);
    waiting->timer = executor_.call_after(patience, [this, waiting, alive = std::weak_ptr(alive_)] {
        if (alive.expired()) return;
        std::erase(waiting_, waiting);
        waiting->done(last_);
    });
    if (std::exchange(walking_, true)) return;
    auto walk = std::make_shared<Walk>();
    walk->begun = executor_.clock().now();
    executor_.post([this, walk, alive = std::weak_ptr(alive_)] {
        if (!alive.expired()) list_scopes(walk, "");
    });
}

void StreamCensus::list_scopes(const std::shared_ptr<Walk>& walk, std::string token) {
    controller_.list_scopes(
        token, [this, walk, alive = std::weak_ptr(alive_)](Result<controller::Page<std::string>> page) {
            if (alive.expired()) return;
            if (!page) return ended();
            if (page->items.empty()) {
                walk->census.scopes = walk->scopes.size();
                return next_scope(walk);
            }
            std::ranges::copy_if(page->items, std::back_inserter(walk->scopes), std::not_fn(is_internal));
            list_scopes(walk, std::move(page->token));
        });
}

void StreamCensus::next_scope(const std::shared_ptr<Walk>& walk) {
    if (walk->next_scope == walk->scopes.size()) return finished(walk);
    list_streams(walk, walk->scopes[walk->next_scope++], "");
}

void StreamCensus::list_streams(const std::shared_ptr<Walk>& walk, std::string scope, std::string token) {
    using Listing = Result<std::optional<controller::Page<std::string>>>;
    auto listed = [this, walk, scope, alive = std::weak_ptr(alive_)](Listing listing) {
        if (alive.expired()) return;
        if (!listing) return ended();
        // No listing: the scope has gone meanwhile.
        if (!*listing || (*listing)->items.empty()) return next_scope(walk);
        for (std::string& name : (*listing)->items) {
            if (is_internal(name)) continue;
            ++walk->census.streams;
            if (walk->census.named.size() < named_max_) walk->census.named.push_back({scope, std::move(name), 0});
        }
        list_streams(walk, scope, std::move((*listing)->token));
    };
    controller_.list_streams(scope, std::move(token), std::move(listed));
}

void StreamCensus::finished(const std::shared_ptr<Walk>& walk) {
    auto count = std::make_shared<Count>();
    count->streams = std::exchange(walk->census.named, {});
    count->exists.assign(count->streams.size(), false);
    count->done = [this, walk](std::vector<StreamSegments> streams) {
        walk->census.named = std::move(streams);
        walk->census.taken = executor_.clock().now();
        took_ = walk->census.taken - walk->begun;
        last_ = std::make_shared<const Census>(std::move(walk->census));
        ended();
    };
    count_segments(std::move(count));
}

void StreamCensus::count_segments(std::shared_ptr<Count> count) {
    while (count->next < count->streams.size() && count->under_way < kCountsAtOnce) {
        std::size_t i = count->next++;
        ++count->under_way;
        auto counted = [this, count, i,
                        alive = std::weak_ptr(alive_)](Result<std::vector<controller::SegmentRange>> segments) {
            if (alive.expired()) return;
            --count->under_way;
            count->exists[i] = segments.has_value();
            if (segments) count->streams[i].segments = segments->size();
            // Not from here: answers that come within the call would pile up.
            executor_.post([this, count, alive] {
                if (!alive.expired()) count_segments(count);
            });
        };
        controller_.current_segments({count->streams[i].scope, count->streams[i].stream}, std::move(counted));
    }
    if (count->under_way > 0 || !count->done) return;
    std::vector<StreamSegments> found;
    for (std::size_t i = 0; i < count->streams.size(); ++i) {
        if (count->exists[i]) found.push_back(std::move(count->streams[i]));
    }
    auto done = std::exchange(count->done, nullptr);
    done(std::move(found));
}

void StreamCensus::of(std::vector<controller::StreamName> streams, runtime::Callback<Census> done) {
    auto count = std::make_shared<Count>();
    for (controller::StreamName& name : streams)
        count->streams.push_back({std::move(name.scope), std::move(name.stream), 0});
    count->exists.assign(count->streams.size(), false);
    count->done = [this, done = std::move(done)](std::vector<StreamSegments> found) mutable {
        Census census;
        census.named = std::move(found);
        census.taken = executor_.clock().now();
        done(std::move(census));
    };
    executor_.post([this, count = std::move(count), alive = std::weak_ptr(alive_)]() mutable {
        if (!alive.expired()) count_segments(std::move(count));
    });
}

// Also after a failure, as when the containers stop: then the last census is what there is.
void StreamCensus::ended() {
    walking_ = false;
    for (const auto& waiting : std::exchange(waiting_, {})) {
        executor_.cancel(waiting->timer);
        executor_.post([waiting, last = last_] { waiting->done(last); });
    }
}

}  // namespace millrace::metrics
