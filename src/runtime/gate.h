// Gate: counts what is under way in an object, so that closing it can wait. Operations enter and leave; close() refuses
// new ones and reports when the last has left. Owner thread only.
//
//   Gate::Pass pass = gate.enter();            // empty when the gate is closed
//   if (!pass) return fail(Errc::kClosed);
//   device.write(..., [this, pass = std::move(pass)](...) { ... });
//   ...
//   gate.close([this] { delete_files(); });    // nothing runs in here any more
#pragma once

#include <cstddef>
#include <utility>

#include "base/assert.h"
#include "runtime/executor.h"

namespace millrace::runtime {

class Gate {
  public:
    // The right to be inside; given back on destruction. The gate must outlive it, which is what close() is for.
    class [[nodiscard]] Pass {
      public:
        Pass() = default;
        Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
        Pass& operator=(Pass&& other) noexcept {
            if (this != &other) {
                give_back();
                gate_ = std::exchange(other.gate_, nullptr);
            }
            return *this;
        }
        ~Pass() { give_back(); }
        explicit operator bool() const { return gate_ != nullptr; }
        void give_back() {
            if (Gate* gate = std::exchange(gate_, nullptr)) gate->leave();
        }

      private:
        friend class Gate;
        explicit Pass(Gate* gate) : gate_(gate) {}
        Gate* gate_ = nullptr;
    };

    Gate() = default;
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;
    ~Gate() { MILLRACE_ASSERT(inside_ == 0); }

    Pass enter() {
        if (closed_) return {};
        ++inside_;
        return Pass(this);
    }

    // Once. `done` runs when nobody is inside: at once, or from the last Pass's destructor. It may destroy the gate.
    void close(Callback<> done) {
        MILLRACE_ASSERT(!closed_);
        closed_ = true;
        if (inside_ == 0) return done();
        done_ = std::move(done);
    }

    bool closed() const { return closed_; }
    std::size_t inside() const { return inside_; }

  private:
    void leave() {
        if (--inside_ > 0 || !closed_) return;
        Callback<> done = std::move(done_);
        done();
    }

    std::size_t inside_ = 0;
    bool closed_ = false;
    Callback<> done_;
};

}  // namespace millrace::runtime
