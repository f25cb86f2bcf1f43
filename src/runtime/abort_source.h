// AbortSource: tells whatever waits that it should give up. Who waits subscribes for as long as it waits;
// request_abort() calls every subscriber once, in the order of subscribing. Owner thread only. Source and subscriptions
// may die in any order.
//
//   auto subscription = abort.subscribe([this] { finish(fail(Errc::kClosed)); });
//   if (!subscription) return fail(Errc::kClosed);    // was requested already; the callback will not run
#pragma once

#include <memory>
#include <utility>

#include "runtime/executor.h"

namespace millrace::runtime {

class AbortSource {
    struct Link {  // of a ring; alone when it points to itself
        Link* previous = this;
        Link* next = this;

        Link() = default;
        Link(const Link&) = delete;
        Link& operator=(const Link&) = delete;
        ~Link() { unlink(); }
        bool alone() const { return next == this; }
        void unlink() {
            previous->next = next;
            next->previous = previous;
            previous = next = this;
        }
        void link_before(Link& place) {
            previous = place.previous;
            next = &place;
            previous->next = next->previous = this;
        }
    };
    struct Subscriber : Link {
        Callback<> on_abort;
    };

  public:
    // Ends on destruction. May be destroyed within a callback, its own included.
    class [[nodiscard]] Subscription {
      public:
        Subscription() = default;
        explicit operator bool() const {
            return subscriber_ != nullptr && !subscriber_->alone();
        }  // waits to be called
        void end() { subscriber_.reset(); }

      private:
        friend class AbortSource;
        explicit Subscription(std::unique_ptr<Subscriber> subscriber) : subscriber_(std::move(subscriber)) {}
        std::unique_ptr<Subscriber> subscriber_;
    };

    AbortSource() = default;
    ~AbortSource() {
        while (!ring_.alone()) ring_.next->unlink();
    }

    bool abort_requested() const { return requested_; }

    Subscription subscribe(Callback<> on_abort) {
        if (requested_) return {};
        auto subscriber = std::make_unique<Subscriber>();
        subscriber->on_abort = std::move(on_abort);
        subscriber->link_before(ring_);
        return Subscription(std::move(subscriber));
    }

    // Idempotent. A callback may destroy the source.
    void request_abort() {
        if (std::exchange(requested_, true)) return;
        Link calling;
        calling.link_before(ring_);
        ring_.unlink();  // the subscribers hang on `calling` now
        while (!calling.alone()) {
            auto* subscriber = static_cast<Subscriber*>(calling.next);
            subscriber->unlink();
            Callback<> on_abort = std::move(subscriber->on_abort);
            on_abort();
        }
    }

  private:
    Link ring_;
    bool requested_ = false;
};

}  // namespace millrace::runtime
