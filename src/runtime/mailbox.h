// Mailbox: many producers, one consumer, no lock. Producers push onto a list head; the consumer takes the whole list
// with one exchange and reads it in the order of pushing. One allocation per item; an empty mailbox costs the consumer
// one relaxed load.
//
//   if (mailbox.push(std::move(item))) wake_the_consumer();    // true for the first item of a burst only
//   mailbox.drain([](Item item) { ... });                      // the consumer's thread
#pragma once

#include <atomic>
#include <utility>

namespace millrace::runtime {

template <typename T>
class Mailbox {
  public:
    Mailbox() = default;
    Mailbox(const Mailbox&) = delete;
    Mailbox& operator=(const Mailbox&) = delete;
    ~Mailbox() {
        drain([](T) {});
    }

    // Any thread. True when the mailbox was empty: this producer has to wake the consumer.
    bool push(T item) {
        Node* node = new Node{nullptr, std::move(item)};
        Node* head = head_.load(std::memory_order_relaxed);
        do {
            node->next = head;
        } while (!head_.compare_exchange_weak(head, node, std::memory_order_release, std::memory_order_relaxed));
        return head == nullptr;
    }

    bool empty() const { return head_.load(std::memory_order_relaxed) == nullptr; }

    // Consumer only. Hands over what was pushed before the call, oldest first, and returns how many items that were.
    template <typename F>
    std::size_t drain(F&& take) {
        if (empty()) return 0;
        Node* newest = head_.exchange(nullptr, std::memory_order_acquire);
        Node* oldest = nullptr;
        while (newest != nullptr) {
            Node* next = newest->next;
            newest->next = oldest;
            oldest = newest;
            newest = next;
        }
        std::size_t count = 0;
        while (oldest != nullptr) {
            Node* node = std::exchange(oldest, oldest->next);
            T item = std::move(node->item);
            delete node;
            take(std::move(item));
            ++count;
        }
        return count;
    }

  private:
    struct Node {
        Node* next;
        T item;
    };
    alignas(64) std::atomic<Node*> head_{nullptr};
};

}  // namespace millrace::runtime
