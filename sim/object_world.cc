#include "sim/object_world.h"

#include <utility>

namespace millrace::sim {

using std::chrono::milliseconds;

class SimChunkStore final : public lts::ChunkStore {
  public:
    SimChunkStore(ObjectWorld& world, runtime::Executor& executor) : world_(world), executor_(executor) {}
    ~SimChunkStore() override { *alive_ = false; }

    void put_if_absent(std::string key, bytes::Chain data, runtime::Callback<Result<>> done) override {
        auto put = [&world = world_, key, bytes = data.to_vector()]() mutable -> Result<> {
            bool is_new = world.objects.try_emplace(key, std::move(bytes)).second;
            world.tell((is_new ? "put " : "exists ") + key);
            if (!is_new) return fail(Errc::kExists, key);
            if (world.sweep_too_early && world.random_.below(8) == 0) world.objects.erase(key);
            return {};
        };
        change(std::move(put), std::move(done));
    }
    std::unique_ptr<lts::Upload> upload(std::string key, std::uint64_t /*expected_size*/) override {
        return std::make_unique<PiecewiseUpload>(*this, std::move(key));
    }
    void read(std::string key, std::uint64_t offset, std::uint64_t size,
              runtime::Callback<Result<bytes::Slice>> done) override {
        auto find = [&world = world_, key, offset, size]() -> Result<bytes::Slice> {
            auto found = world.objects.find(key);
            if (found == world.objects.end()) return fail(Errc::kNotFound, key);
            if (offset + size > found->second.size()) return fail(Errc::kCorrupt, key + " is shorter");
            return bytes::Slice::copy_of({found->second.data() + offset, size});
        };
        ask<bytes::Slice>(std::move(find), std::move(done));
    }
    void stat(std::string key, runtime::Callback<Result<lts::ObjectStatus>> done) override {
        auto find = [&world = world_, key]() -> Result<lts::ObjectStatus> {
            auto found = world.objects.find(key);
            if (found == world.objects.end()) return fail(Errc::kNotFound, key);
            return lts::ObjectStatus{found->second.size(), 0};
        };
        ask<lts::ObjectStatus>(std::move(find), std::move(done));
    }
    void list(std::string prefix, std::string after, std::size_t limit,
              runtime::Callback<Result<lts::ListPage>> done) override {
        auto find = [&world = world_, prefix, after, limit]() -> Result<lts::ListPage> {
            lts::ListPage page;
            auto at = after.empty() ? world.objects.lower_bound(prefix) : world.objects.upper_bound(after);
            for (; at != world.objects.end() && at->first.starts_with(prefix); ++at) {
                if (page.objects.size() == limit) {
                    page.next = page.objects.back().key;
                    break;
                }
                if (world.random_.below(100) < world.faults.unlisted_percent) continue;  // it lags
                page.objects.push_back({at->first, {at->second.size(), 0}});
            }
            return page;
        };
        ask<lts::ListPage>(std::move(find), std::move(done));
    }
    void remove(std::string key, runtime::Callback<Result<>> done) override {
        auto remove_it = [&world = world_, key]() -> Result<> {
            world.tell("remove " + key);
            world.objects.erase(key);
            return {};
        };
        change(std::move(remove_it), std::move(done));
    }
    void read_register(std::string key, runtime::Callback<Result<lts::Register>> done) override {
        auto find = [&world = world_, key]() -> Result<lts::Register> { return world.registers[key]; };
        ask<lts::Register>(std::move(find), std::move(done));
    }
    // As with objects: it may take effect long after it was given up, unless somebody came before it.
    void write_register(std::string key, std::vector<std::uint8_t> value, lts::RegisterTag expected,
                        runtime::Callback<Result<lts::RegisterTag>> done) override {
        auto tag = std::make_shared<lts::RegisterTag>();
        auto write = [&world = world_, key, value = std::move(value), expected, tag]() -> Result<> {
            lts::Register& there = world.registers[key];
            if (there.tag != expected) return fail(Errc::kBadVersion, key);
            *tag = {std::to_string(++world.tags_)};
            there = {*tag, value};
            world.tell("register " + key);
            return {};
        };
        change(std::move(write), [tag, done = std::move(done)](Result<> written) mutable {
            if (!written) return done(fail(written.error()));
            done(*tag);
        });
    }
    lts::StoreStats stats() const override { return {}; }
    std::string description() const override { return "simulated"; }

  private:
    class PiecewiseUpload final : public lts::Upload {
      public:
        PiecewiseUpload(SimChunkStore& store, std::string key) : store_(store), key_(std::move(key)) {}
        void append(bytes::Chain data, runtime::Callback<Result<>> done) override {
            data_.append(data);
            store_.ask<void>([]() -> Result<> { return {}; }, std::move(done));
        }
        void finish(runtime::Callback<Result<>> done) override {
            store_.put_if_absent(key_, std::move(data_), std::move(done));
        }
        void abort(runtime::Callback<Result<>> done) override {
            store_.ask<void>([]() -> Result<> { return {}; }, std::move(done));
        }

      private:
        SimChunkStore& store_;
        std::string key_;
        bytes::Chain data_;
    };

    bool happens(std::uint32_t percent) { return world_.random_.below(100) < percent; }
    ObjectWorld::Time later() {
        return executor_.clock().now() + milliseconds(world_.random_.below(world_.faults.delay_ms + 1));
    }
    template <typename T>
    void tell(ObjectWorld::Time when, runtime::Callback<Result<T>> done, Result<T> result) {
        world_.at(when, [&executor = executor_, alive = alive_, done = std::move(done),
                         result = std::move(result)]() mutable {
            if (!*alive) return;
            executor.post([alive, done = std::move(done), result = std::move(result)]() mutable {
                if (*alive) done(std::move(result));
            });
        });
    }
    static Error lost() { return {Errc::kUnavailable, "no answer"}; }

    template <typename T, typename F>
    void ask(F find, runtime::Callback<Result<T>> done) {
        if (world_.faults.down || happens(world_.faults.error_percent))
            return tell<T>(later(), std::move(done), fail(lost()));
        world_.at(later(), [this, alive = alive_, find = std::move(find), done = std::move(done)]() mutable {
            if (*alive) tell<T>(executor_.clock().now(), std::move(done), find());
        });
    }
    template <typename F>
    void change(F make, runtime::Callback<Result<>> done) {
        if (world_.faults.down || happens(world_.faults.error_percent)) {
            return tell<void>(later(), std::move(done), fail(lost()));
        }
        auto when = later();
        if (happens(world_.faults.lost_percent)) {
            tell<void>(when, std::move(done), fail(lost()));
            if (happens(world_.faults.late_percent)) when += milliseconds(world_.random_.below(20'000));
            return world_.at(when, [make = std::move(make)]() mutable { (void)make(); });
        }
        // Done whether or not somebody still waits for it.
        world_.at(when,
                  [&executor = executor_, alive = alive_, make = std::move(make), done = std::move(done)]() mutable {
                      auto result = make();
                      if (!*alive) return;
                      executor.post([alive, done = std::move(done), result = std::move(result)]() mutable {
                          if (*alive) done(std::move(result));
                      });
                  });
    }

    ObjectWorld& world_;
    runtime::Executor& executor_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::unique_ptr<lts::ChunkStore> ObjectWorld::open(runtime::Executor& executor) {
    return std::make_unique<SimChunkStore>(*this, executor);
}

void ObjectWorld::run_due(Time now) {
    while (!actions_.empty() && actions_.begin()->first.first <= now) {
        auto entry = actions_.extract(actions_.begin());
        entry.mapped()();
    }
}

}  // namespace millrace::sim
