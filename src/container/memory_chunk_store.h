// Long-term storage in memory for the container's tests: outlives the container, fails when it is told to, forgets a
// crash's unfinished uploads. Keeps the contract of lts/chunk_store.h as far as a container uses it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lts/chunk_store.h"

namespace millrace::container {

struct MemoryObjects {
    std::map<std::string, std::vector<std::uint8_t>> objects;
    std::map<std::string, lts::Register> registers;
    std::uint64_t tags = 0;
    bool down = false;          // everything is refused
    bool lose_replies = false;  // writes happen, and are told as failed
    bool hold = false;          // writes wait in `held`
    std::vector<runtime::Task> held;
    std::uint64_t puts = 0;
    std::uint64_t reads = 0;
    std::uint64_t removed = 0;
};

class MemoryChunkStore final : public lts::ChunkStore {
  public:
    MemoryChunkStore(std::shared_ptr<MemoryObjects> objects, runtime::Executor& executor)
        : objects_(std::move(objects)), executor_(executor) {}

    void put_if_absent(std::string key, bytes::Chain data, runtime::Callback<Result<>> done) override {
        write(objects_, executor_, std::move(key), data.to_vector(), std::move(done));
    }
    std::unique_ptr<lts::Upload> upload(std::string key, std::uint64_t /*expected_size*/) override {
        return std::make_unique<MemoryUpload>(objects_, executor_, std::move(key));
    }
    void read(std::string key, std::uint64_t offset, std::uint64_t size,
              runtime::Callback<Result<bytes::Slice>> done) override {
        ++objects_->reads;
        answer<bytes::Slice>(std::move(done), [this, key, offset, size]() -> Result<bytes::Slice> {
            auto found = objects_->objects.find(key);
            if (found == objects_->objects.end()) return fail(Errc::kNotFound, key);
            if (offset + size > found->second.size()) return fail(Errc::kCorrupt, key + " is shorter");
            return bytes::Slice::copy_of({found->second.data() + offset, size});
        });
    }
    void stat(std::string key, runtime::Callback<Result<lts::ObjectStatus>> done) override {
        answer<lts::ObjectStatus>(std::move(done), [this, key]() -> Result<lts::ObjectStatus> {
            auto found = objects_->objects.find(key);
            if (found == objects_->objects.end()) return fail(Errc::kNotFound, key);
            return lts::ObjectStatus{found->second.size(), 0};
        });
    }
    void list(std::string prefix, std::string after, std::size_t limit,
              runtime::Callback<Result<lts::ListPage>> done) override {
        answer<lts::ListPage>(std::move(done), [this, prefix, after, limit]() -> Result<lts::ListPage> {
            lts::ListPage page;
            auto at = after.empty() ? objects_->objects.lower_bound(prefix) : objects_->objects.upper_bound(after);
            for (; at != objects_->objects.end() && at->first.starts_with(prefix); ++at) {
                if (page.objects.size() == limit) {
                    page.next = page.objects.back().key;
                    break;
                }
                page.objects.push_back({at->first, {at->second.size(), 0}});
            }
            return page;
        });
    }
    void remove(std::string key, runtime::Callback<Result<>> done) override {
        answer<void>(std::move(done), [this, key]() -> Result<> {
            objects_->removed += objects_->objects.erase(key);
            return {};
        });
    }
    void read_register(std::string key, runtime::Callback<Result<lts::Register>> done) override {
        answer<lts::Register>(std::move(done),
                              [this, key]() -> Result<lts::Register> { return objects_->registers[key]; });
    }
    void write_register(std::string key, std::vector<std::uint8_t> value, lts::RegisterTag expected,
                        runtime::Callback<Result<lts::RegisterTag>> done) override {
        answer<lts::RegisterTag>(std::move(done), [this, key, value, expected]() -> Result<lts::RegisterTag> {
            lts::Register& there = objects_->registers[key];
            if (there.tag != expected) return fail(Errc::kBadVersion, key);
            there = {{std::to_string(++objects_->tags)}, value};
            if (objects_->lose_replies) return fail(Errc::kUnavailable, key + ": reply lost");
            return there.tag;
        });
    }
    lts::StoreStats stats() const override { return {}; }
    std::string description() const override { return "memory"; }

  private:
    class MemoryUpload final : public lts::Upload {
      public:
        MemoryUpload(std::shared_ptr<MemoryObjects> objects, runtime::Executor& executor, std::string key)
            : objects_(std::move(objects)), executor_(executor), key_(std::move(key)) {}
        void append(bytes::Chain data, runtime::Callback<Result<>> done) override {
            auto all = data.to_vector();
            data_.insert(data_.end(), all.begin(), all.end());
            Result<> result;
            if (objects_->down) result = fail(Errc::kUnavailable, key_ + ": planted");
            executor_.post([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
        }
        void finish(runtime::Callback<Result<>> done) override {
            write(objects_, executor_, key_, std::move(data_), std::move(done));
        }
        void abort(runtime::Callback<Result<>> done) override {
            executor_.post([done = std::move(done)]() mutable { done({}); });
        }

      private:
        std::shared_ptr<MemoryObjects> objects_;
        runtime::Executor& executor_;
        std::string key_;
        std::vector<std::uint8_t> data_;
    };

    static void write(std::shared_ptr<MemoryObjects> objects, runtime::Executor& executor, std::string key,
                      std::vector<std::uint8_t> data, runtime::Callback<Result<>> done) {
        auto run = [objects, key = std::move(key), data = std::move(data), done = std::move(done)]() mutable {
            if (objects->down) return done(fail(Errc::kUnavailable, key + ": planted"));
            ++objects->puts;
            bool is_new = objects->objects.try_emplace(key, std::move(data)).second;
            if (objects->lose_replies) return done(fail(Errc::kUnavailable, key + ": reply lost"));
            if (!is_new) return done(fail(Errc::kExists, key));
            done({});
        };
        if (objects->hold)
            objects->held.emplace_back(std::move(run));
        else
            executor.post(std::move(run));
    }
    template <typename T, typename F>
    void answer(runtime::Callback<Result<T>> done, F function) {
        executor_.post([objects = objects_, done = std::move(done), function = std::move(function)]() mutable {
            if (objects->down) return done(fail(Errc::kUnavailable, "planted"));
            done(function());
        });
    }

    std::shared_ptr<MemoryObjects> objects_;
    runtime::Executor& executor_;
};

}  // namespace millrace::container
