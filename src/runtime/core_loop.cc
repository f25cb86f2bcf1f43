#include "runtime/core_loop.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <pthread.h>

#include "base/assert.h"
#include "runtime/mailbox.h"

namespace millrace::runtime {

namespace asio = boost::asio;
using TimePoint = std::chrono::steady_clock::time_point;

namespace {

constexpr std::chrono::milliseconds kTurnLength{1};
constexpr std::size_t kTasksPerClockRead = 16;
constexpr std::size_t kCompactAfter = 1024;
constexpr std::chrono::milliseconds kLongestDelay = std::chrono::hours(24 * 3650);

thread_local const CoreLoop* current_loop = nullptr;

}  // namespace

// All members but the mailbox, `stopping` and `context` belong to the loop's thread (to anybody while the loop does not
// run).
struct CoreLoop::Impl {
    struct Deferred {
        std::uint64_t
            after;  // runs when this many posted tasks have run: all that were in the queue at the time of defer()
        Task task;
    };

    Impl(CoreLoop& owner_loop, std::uint64_t seed) : owner(owner_loop), random(seed), context(1), alarm(context) {}

    void enqueue(Task task) {
        ready.push_back(std::move(task));
        ++queued;
    }
    void schedule_turn() {
        if (turn_scheduled) return;
        turn_scheduled = true;
        asio::post(context, [this] {
            turn_scheduled = false;
            turn();
        });
    }

    void turn();
    bool run_ready(TimePoint now);
    void run_deferred();
    void arm();
    void fire_timers();
    void drop_everything();

    Mailbox<Task> mailbox;

    CoreLoop& owner;
    SystemClock clock;
    SeededRandom random;

    std::vector<Task> ready;
    std::size_t ready_head = 0;  // tasks before it have run
    std::uint64_t queued = 0;
    std::uint64_t done = 0;
    std::vector<Deferred> deferred;

    std::map<std::pair<TimePoint, TimerId>, Task> timers;
    std::unordered_map<TimerId, TimePoint> timer_times;
    TimerId last_timer;
    TimePoint armed_for = TimePoint::max();

    bool turn_scheduled = false;
    std::atomic<bool> running{false};
    std::atomic<bool> stopping{false};
    std::mutex join_mutex;
    std::thread thread;

    // Last, so that handlers which die with the context still find everything else.
    asio::io_context context;
    asio::steady_timer alarm;
};

void CoreLoop::Impl::turn() {
    Held held(owner);
    run_ready(clock.now());
    run_deferred();
    if (stopping.load(std::memory_order_relaxed)) return;
    if (ready_head < ready.size() || !deferred.empty() || !mailbox.empty()) schedule_turn();
}

// Runs posted tasks until there are none, or time is up (false).
bool CoreLoop::Impl::run_ready(TimePoint now) {
    TimePoint until = now + kTurnLength;
    for (std::size_t count = 1; !stopping.load(std::memory_order_relaxed); ++count) {
        if (ready_head == ready.size()) {
            ready.clear();
            ready_head = 0;
            if (mailbox.drain([this](Task task) { enqueue(std::move(task)); }) == 0) return true;
        }
        Task task = std::move(ready[ready_head++]);
        ++done;
        task();
        if (count % kTasksPerClockRead != 0) continue;
        now = clock.now();
        owner.mark_held(now);
        if (ready_head >= kCompactAfter && ready_head >= ready.size() / 2) {
            ready.erase(ready.begin(), ready.begin() + static_cast<std::ptrdiff_t>(ready_head));
            ready_head = 0;
        }
        if (now >= until) return false;
    }
    return false;
}

void CoreLoop::Impl::run_deferred() {
    if (deferred.empty()) return;
    std::vector<Deferred> due;
    due.swap(deferred);
    std::size_t next = 0;
    while (next < due.size() && due[next].after <= done && !stopping.load(std::memory_order_relaxed))
        due[next++].task();
    if (next == due.size()) {
        // What deferred tasks deferred runs at the end of the next turn. The old vector's memory is kept for it.
        due.clear();
        if (deferred.empty()) deferred.swap(due);
        return;
    }
    due.erase(due.begin(), due.begin() + static_cast<std::ptrdiff_t>(next));
    for (Deferred& entry : deferred) due.push_back(std::move(entry));
    deferred.swap(due);
}

// Sets the alarm for the earliest timer. A cancelled timer leaves its alarm in place: it rings for nothing, once.
void CoreLoop::Impl::arm() {
    if (timers.empty() || timers.begin()->first.first >= armed_for) return;
    armed_for = timers.begin()->first.first;
    alarm.expires_at(armed_for);
    alarm.async_wait([this](const boost::system::error_code& error) {
        if (!error) fire_timers();
    });
}

void CoreLoop::Impl::fire_timers() {
    Held held(owner);
    armed_for = TimePoint::max();
    TimePoint now = clock.now();
    TimerId last = last_timer;  // timers that are set by these timers wait for the next round
    while (!timers.empty() && !stopping.load(std::memory_order_relaxed)) {
        auto first = timers.begin();
        if (first->first.first > now || first->first.second > last) break;
        Task task = std::move(first->second);
        timer_times.erase(first->first.second);
        timers.erase(first);
        task();
        owner.mark_held(clock.now());
    }
    arm();
}

// Tasks die on the loop's thread; what their destructors post dies too.
void CoreLoop::Impl::drop_everything() {
    for (;;) {
        std::vector<Task> tasks = std::exchange(ready, {});
        ready_head = 0;
        std::vector<Deferred> flushes = std::exchange(deferred, {});
        auto waiting = std::exchange(timers, {});
        timer_times.clear();
        std::size_t posted = mailbox.drain([](Task) {});
        if (tasks.empty() && flushes.empty() && waiting.empty() && posted == 0) return;
    }
}

CoreLoop::CoreLoop(std::string name, std::uint64_t random_seed)
    : name_(std::move(name)), impl_(std::make_unique<Impl>(*this, random_seed)) {}

CoreLoop::~CoreLoop() {
    MILLRACE_ASSERT(!on_this_thread());
    stop();
    impl_->drop_everything();
}

void CoreLoop::start() {
    std::lock_guard lock(impl_->join_mutex);
    MILLRACE_ASSERT(!impl_->thread.joinable());
    impl_->running.store(true);  // from here on, the objects of this loop are the new thread's
    impl_->thread = std::thread([this] {
        pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
        run();
    });
}

void CoreLoop::run() {
    const CoreLoop* outer = std::exchange(current_loop, this);
    impl_->running.store(true);
    auto work = asio::make_work_guard(impl_->context);
    if (!impl_->stopping.load()) impl_->context.run();
    impl_->drop_everything();
    impl_->running.store(false);
    current_loop = outer;
}

void CoreLoop::stop() {
    impl_->stopping.store(true);
    impl_->context.stop();
    if (on_this_thread()) return;
    std::lock_guard lock(impl_->join_mutex);
    if (impl_->thread.joinable()) impl_->thread.join();
}

void CoreLoop::post(Task task) {
    Impl& impl = *impl_;
    if (impl.stopping.load(std::memory_order_relaxed)) return;
    if (on_this_thread()) {
        impl.enqueue(std::move(task));
        impl.schedule_turn();
        return;
    }
    if (impl.mailbox.push(std::move(task))) asio::post(impl.context, [&impl] { impl.turn(); });
}

void CoreLoop::defer(Task task) {
    MILLRACE_ASSERT(on_this_thread() || !impl_->running.load());
    if (impl_->stopping.load(std::memory_order_relaxed)) return;
    impl_->deferred.push_back({impl_->queued, std::move(task)});
    impl_->schedule_turn();
}

TimerId CoreLoop::call_after(std::chrono::milliseconds delay, Task task) {
    MILLRACE_ASSERT(on_this_thread() || !impl_->running.load());
    if (impl_->stopping.load(std::memory_order_relaxed)) return {};
    TimerId id = impl_->last_timer = impl_->last_timer.next();
    TimePoint at = impl_->clock.now() + std::min(delay, kLongestDelay);
    impl_->timers.emplace(std::pair(at, id), std::move(task));
    impl_->timer_times.emplace(id, at);
    impl_->arm();
    return id;
}

void CoreLoop::cancel(TimerId timer) {
    MILLRACE_ASSERT(on_this_thread() || !impl_->running.load());
    auto entry = impl_->timer_times.find(timer);
    if (entry == impl_->timer_times.end()) return;
    auto node = impl_->timers.extract(std::pair(entry->second, timer));
    impl_->timer_times.erase(entry);
    // The task dies with `node`, after the maps are in order again: its destructor may cancel or set other timers.
}

bool CoreLoop::on_this_thread() const { return current_loop == this; }
const Clock& CoreLoop::clock() const { return impl_->clock; }
Random& CoreLoop::random() { return impl_->random; }
asio::io_context& CoreLoop::context() { return impl_->context; }

std::chrono::nanoseconds CoreLoop::held_for() const {
    std::int64_t since = held_since_.load(std::memory_order_relaxed);
    if (since == 0) return {};
    auto held = std::chrono::steady_clock::now().time_since_epoch() - std::chrono::steady_clock::duration(since);
    return std::max(held, decltype(held)::zero());
}

}  // namespace millrace::runtime
