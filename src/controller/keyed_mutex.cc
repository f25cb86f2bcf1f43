#include "controller/keyed_mutex.h"

#include "runtime/async.h"

namespace millrace::controller {

// Of one who waits. A coroutine that is destroyed between the grant and its resumption passes on what it never took:
// otherwise those behind it would wait for ever, and nobody would ever destroy them.
class KeyedMutex::Turn {
  public:
    Turn(std::shared_ptr<State> state, std::string name, std::shared_ptr<Waiter> waiter)
        : state_(std::move(state)), name_(std::move(name)), waiter_(std::move(waiter)) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
        if (waiter_->granted && state_ != nullptr) take().release();
    }
    Lock take() { return {std::move(state_), std::move(name_)}; }

  private:
    std::shared_ptr<State> state_;
    std::string name_;
    std::shared_ptr<Waiter> waiter_;
};

boost::asio::awaitable<KeyedMutex::Lock> KeyedMutex::acquire(std::string name) {
    auto [entry, free] = state_->try_emplace(name);
    if (free) {
        Lock lock(state_, std::move(name));
        co_return lock;
    }
    auto waiter = std::make_shared<Waiter>();
    entry->second.push_back(waiter);
    Turn turn(state_, std::move(name), waiter);
    auto wait = [&waiter](runtime::Callback<> granted) { waiter->resume = std::move(granted); };
    co_await runtime::await<void>(wait);
    co_return turn.take();
}

void KeyedMutex::Lock::release() {
    auto state = std::exchange(state_, nullptr);
    if (state == nullptr) return;
    auto entry = state->find(name_);
    if (entry->second.empty()) {
        state->erase(entry);
        return;
    }
    std::shared_ptr<Waiter> next = std::move(entry->second.front());
    entry->second.pop_front();
    next->granted = true;
    next->resume();  // only posts
}

}  // namespace millrace::controller
