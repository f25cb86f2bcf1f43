#include "runtime/units.h"

#include <algorithm>
#include <deque>

#include "base/assert.h"

namespace millrace::runtime {

// Shared by the semaphore and all units of it. Has an executor only while the semaphore lives.
struct SemaphoreUnits::State : std::enable_shared_from_this<SemaphoreUnits::State> {
    struct Waiter {
        Semaphore::Ticket ticket;
        std::uint64_t count;
        Callback<SemaphoreUnits> granted;
    };

    Executor* executor = nullptr;
    std::uint64_t capacity = 0;
    std::uint64_t available = 0;
    std::deque<Waiter> waiters;
    Semaphore::Ticket last_ticket;
    bool grant_posted = false;

    void post_grant() {
        if (executor == nullptr || grant_posted || waiters.empty() || waiters.front().count > available) return;
        grant_posted = true;
        executor->post([self = weak_from_this()] {
            if (auto state = self.lock()) state->grant();
        });
    }

    // Callbacks may take, give back and cancel; the semaphore may die in one of them.
    void grant() {
        grant_posted = false;
        while (!waiters.empty() && waiters.front().count <= available) {
            Waiter waiter = std::move(waiters.front());
            waiters.pop_front();
            available -= waiter.count;
            waiter.granted(SemaphoreUnits(shared_from_this(), waiter.count));
        }
    }
};

SemaphoreUnits& SemaphoreUnits::operator=(SemaphoreUnits&& other) noexcept {
    if (this != &other) {
        give_back(count_);
        state_ = std::move(other.state_);
        count_ = std::exchange(other.count_, 0);
    }
    return *this;
}

void SemaphoreUnits::give_back(std::uint64_t count) {
    MILLRACE_ASSERT(count <= count_);
    if (count == 0) return;
    count_ -= count;
    state_->available += count;
    state_->post_grant();
}

SemaphoreUnits SemaphoreUnits::split(std::uint64_t count) {
    MILLRACE_ASSERT(count <= count_);
    count_ -= count;
    return {state_, count};
}

void SemaphoreUnits::merge(SemaphoreUnits other) {
    if (state_ == nullptr) {
        *this = std::move(other);
        return;
    }
    MILLRACE_ASSERT(other.state_ == nullptr || other.state_ == state_);
    count_ += std::exchange(other.count_, 0);
}

Semaphore::Semaphore(Executor& executor, std::uint64_t capacity) : state_(std::make_shared<SemaphoreUnits::State>()) {
    state_->executor = &executor;
    state_->capacity = state_->available = capacity;
}

Semaphore::~Semaphore() {
    state_->executor = nullptr;
    auto dying = std::exchange(state_->waiters, {});
}

SemaphoreUnits Semaphore::try_take(std::uint64_t count) {
    count = std::min(count, state_->capacity);
    if (!state_->waiters.empty() || count > state_->available) return {};
    state_->available -= count;
    return {state_, count};
}

Semaphore::Ticket Semaphore::take(std::uint64_t count, Callback<SemaphoreUnits> granted) {
    Ticket ticket = state_->last_ticket = state_->last_ticket.next();
    state_->waiters.push_back({ticket, std::min(count, state_->capacity), std::move(granted)});
    state_->post_grant();
    return ticket;
}

void Semaphore::cancel(Ticket ticket) {
    auto& waiters = state_->waiters;
    auto found =
        std::find_if(waiters.begin(), waiters.end(), [&](const auto& waiter) { return waiter.ticket == ticket; });
    if (found == waiters.end()) return;
    Callback<SemaphoreUnits> dying = std::move(found->granted);
    waiters.erase(found);
    state_->post_grant();  // the next in line may need less
}

std::uint64_t Semaphore::capacity() const { return state_->capacity; }
std::uint64_t Semaphore::available() const { return state_->available; }
std::size_t Semaphore::waiting() const { return state_->waiters.size(); }

}  // namespace millrace::runtime
