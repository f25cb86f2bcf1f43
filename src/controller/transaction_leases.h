// Leases: which transactions are due at which time. Setting, moving and ending a lease costs the logarithm of their
// number, and so does finding the next that is due: a tick looks at no other. Executor thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

namespace millrace::controller {

template <typename T>
class Leases {
    using Time = std::chrono::steady_clock::time_point;
    using Key = std::pair<Time, std::uint64_t>;

  public:
    // What names a lease that was set; empty without one.
    class Handle {
      public:
        bool is_set() const { return key_.second != 0; }
        Time due() const { return key_.first; }

      private:
        friend class Leases;
        Key key_;
    };

    void set(Handle& handle, Time due, T what) {
        end(handle);
        handle.key_ = {due, ++last_};
        due_.emplace(handle.key_, std::move(what));
    }
    void end(Handle& handle) {
        if (handle.is_set()) due_.erase(handle.key_);
        handle.key_ = {};
    }
    // The first whose time has come; its lease is no more, though its handle does not know.
    std::optional<T> take_due(Time now) {
        if (due_.empty() || due_.begin()->first.first > now) return std::nullopt;
        auto first = due_.extract(due_.begin());
        return std::move(first.mapped());
    }
    bool holds(const Handle& handle) const { return due_.contains(handle.key_); }
    std::optional<Time> next() const {
        if (due_.empty()) return std::nullopt;
        return due_.begin()->first.first;
    }
    std::size_t size() const { return due_.size(); }

  private:
    std::map<Key, T> due_;
    std::uint64_t last_ = 0;
};

}  // namespace millrace::controller
