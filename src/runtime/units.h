// Semaphore and SemaphoreUnits: admission by credits, mostly bytes. Who needs units takes them or waits in line; units
// go back when their holder dies. Waiters are served strictly in order, so a large request is not starved by small
// ones. A request for more than the semaphore's capacity waits for, and takes, all of it. Bound to one executor, owner
// thread only.
//
//   Semaphore credits(loop, 64 * kMiB);
//   if (auto units = credits.try_take(frame.size())) { request.units = std::move(units); ... }
//   else { connection.pause_reading(); credits.take(frame.size(), [this](SemaphoreUnits units) { ... }); }
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/ids.h"
#include "runtime/executor.h"

namespace millrace::runtime {

class Semaphore;

// What was taken; goes back on destruction. May outlive the semaphore.
class [[nodiscard]] SemaphoreUnits {
  public:
    SemaphoreUnits() = default;
    SemaphoreUnits(SemaphoreUnits&& other) noexcept
        : state_(std::move(other.state_)), count_(std::exchange(other.count_, 0)) {}
    SemaphoreUnits& operator=(SemaphoreUnits&& other) noexcept;
    ~SemaphoreUnits() { give_back(count_); }

    std::uint64_t count() const { return count_; }
    explicit operator bool() const { return state_ != nullptr; }  // also for zero units that were taken

    void give_back(std::uint64_t count);  // a part, at most count()
    SemaphoreUnits split(std::uint64_t count);
    void merge(SemaphoreUnits other);  // of the same semaphore

  private:
    friend class Semaphore;
    struct State;
    SemaphoreUnits(std::shared_ptr<State> state, std::uint64_t count) : state_(std::move(state)), count_(count) {}
    std::shared_ptr<State> state_;
    std::uint64_t count_ = 0;
};

class Semaphore {
  public:
    using Ticket = NamedInt<struct SemaphoreTicketTag, std::uint64_t>;  // 0 is none

    Semaphore(Executor& executor, std::uint64_t capacity);
    ~Semaphore();  // waiting callbacks are destroyed without running
    Semaphore(const Semaphore&) = delete;
    Semaphore& operator=(const Semaphore&) = delete;

    // Empty when there are too few units, or when somebody waits in line.
    SemaphoreUnits try_take(std::uint64_t count);

    // `granted` runs as a task of its own, never within this call. Returns what cancel() needs.
    Ticket take(std::uint64_t count, Callback<SemaphoreUnits> granted);

    // Destroys the callback; harmless when it has run.
    void cancel(Ticket ticket);

    std::uint64_t capacity() const;
    std::uint64_t available() const;
    std::size_t waiting() const;

  private:
    std::shared_ptr<SemaphoreUnits::State> state_;
};

}  // namespace millrace::runtime
