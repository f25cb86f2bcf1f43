#include "controller/keyed_mutex.h"

#include "runtime/async.h"

namespace millrace::controller {

boost::asio::awaitable<KeyedMutex::Lock> KeyedMutex::acquire(std::string name) {
    auto [entry, free] = state_->try_emplace(name);
    if (!free) {
        auto wait = [this, &name](runtime::Callback<> granted) { (*state_)[name].push_back(std::move(granted)); };
        co_await runtime::await<void>(wait);
    }
    Lock lock(state_, std::move(name));
    co_return lock;
}

void KeyedMutex::Lock::release() {
    auto state = std::exchange(state_, nullptr);
    if (state == nullptr) return;
    auto entry = state->find(name_);
    if (entry->second.empty()) {
        state->erase(entry);
        return;
    }
    runtime::Callback<> next = std::move(entry->second.front());
    entry->second.pop_front();
    next();  // only posts
}

}  // namespace millrace::controller
