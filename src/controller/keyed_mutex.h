// KeyedMutex: one lock for each name, handed on in the order of asking. Executor thread only.
//
//   KeyedMutex::Lock lock = co_await locks.acquire("stream/a/b");
//   ... until the lock is destroyed
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <boost/asio/awaitable.hpp>

#include "runtime/executor.h"

namespace millrace::controller {

class KeyedMutex {
    struct Waiter {
        runtime::Callback<> resume;
        bool granted = false;
    };
    // The waiters behind the holder; a name that is free has no entry. Shared with the locks, which may outlive the
    // mutex when coroutines are destroyed late.
    using State = absl::flat_hash_map<std::string, std::deque<std::shared_ptr<Waiter>>>;

  public:
    class [[nodiscard]] Lock {
      public:
        Lock() = default;
        Lock(Lock&& other) noexcept : state_(std::move(other.state_)), name_(std::move(other.name_)) {}
        Lock& operator=(Lock&& other) noexcept {
            release();
            state_ = std::move(other.state_);
            name_ = std::move(other.name_);
            return *this;
        }
        ~Lock() { release(); }
        void release();

      private:
        friend class KeyedMutex;
        Lock(std::shared_ptr<State> state, std::string name) : state_(std::move(state)), name_(std::move(name)) {}
        std::shared_ptr<State> state_;
        std::string name_;
    };

    boost::asio::awaitable<Lock> acquire(std::string name);
    std::size_t held() const { return state_->size(); }

  private:
    class Turn;

    std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace millrace::controller
