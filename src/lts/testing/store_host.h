// Places where a ChunkStore can live in a test: each implementation with what it needs below it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "lts/chunk_store.h"
#include "runtime/core_loop.h"
#include "runtime/executor.h"
#include "runtime/manual_executor.h"

namespace millrace::lts {

class StoreHost {
  public:
    virtual ~StoreHost() = default;
    virtual runtime::Executor& executor() = 0;
    virtual void run(const std::function<void()>& task) = 0;  // on the executor's thread; returns when it has run
    virtual void wait_until(const std::function<bool()>& reached) = 0;
    // Another store on the same storage, as a second process would open it. On the executor's thread.
    virtual Result<std::unique_ptr<ChunkStore>> open() = 0;
};

// On a thread of its own.
class LoopHost : public StoreHost {
  public:
    LoopHost();
    ~LoopHost() override;
    runtime::Executor& executor() override { return loop_; }
    void run(const std::function<void()>& task) override;
    void wait_until(const std::function<bool()>& reached) override;

  protected:
    runtime::CoreLoop loop_;
};

// On the test's thread and manual time.
class ManualHost : public StoreHost {
  public:
    explicit ManualHost(std::uint64_t seed = 7) : executor_(seed) {}
    runtime::Executor& executor() override { return executor_; }
    void run(const std::function<void()>& task) override { task(); }
    void wait_until(const std::function<bool()>& reached) override;

  protected:
    runtime::ManualExecutor executor_;
};

// filesystem_memory, filesystem_disk, s3_fake, s3_faulty, s3_http; and s3_server where the environment names one by
// MILLRACE_S3_ENDPOINT, _REGION, _BUCKET, _ACCESS_KEY, _SECRET_KEY.
std::vector<std::string> store_host_names();
std::unique_ptr<StoreHost> make_store_host(const std::string& name);

// The calls of a store, each waited for. Checks that a completion comes once, on the executor, not inside the call.
class StoreCalls {
  public:
    StoreCalls(StoreHost& host, ChunkStore& store) : host_(host), store_(store) {}

    template <typename T>
    using Outcome = std::shared_ptr<std::optional<Result<T>>>;

    template <typename T, typename Start>
    Outcome<T> start(const Start& call) {
        auto outcome = std::make_shared<std::optional<Result<T>>>();
        host_.run([&] {
            auto inside = std::make_shared<bool>(true);
            call([outcome, inside, &executor = host_.executor()](Result<T> result) {
                EXPECT_FALSE(*inside) << "completed inside the call";
                EXPECT_TRUE(executor.on_this_thread());
                EXPECT_FALSE(outcome->has_value()) << "completed twice";
                *outcome = std::move(result);
            });
            *inside = false;
        });
        return outcome;
    }
    template <typename T>
    Result<T> finish(const Outcome<T>& outcome) {
        host_.wait_until([&] { return outcome->has_value(); });
        return outcome->has_value() ? **outcome : Result<T>(fail(Errc::kUnavailable, "nothing completed"));
    }
    template <typename T, typename Start>
    Result<T> call(const Start& what) {
        return finish<T>(start<T>(what));
    }

    Outcome<void> start_put(const std::string& key, bytes::Chain data) {
        return start<void>([&](auto done) { store_.put_if_absent(key, std::move(data), std::move(done)); });
    }
    Result<> put(const std::string& key, bytes::Chain data) { return finish<void>(start_put(key, std::move(data))); }
    Result<bytes::Slice> read(const std::string& key, std::uint64_t offset, std::uint64_t size) {
        return call<bytes::Slice>([&](auto done) { store_.read(key, offset, size, std::move(done)); });
    }
    Result<ObjectStatus> stat(const std::string& key) {
        return call<ObjectStatus>([&](auto done) { store_.stat(key, std::move(done)); });
    }
    Result<ListPage> list(const std::string& prefix, const std::string& after = "", std::size_t limit = kListMax) {
        return call<ListPage>([&](auto done) { store_.list(prefix, after, limit, std::move(done)); });
    }
    Result<> remove(const std::string& key) {
        return call<void>([&](auto done) { store_.remove(key, std::move(done)); });
    }
    Result<Register> read_register(const std::string& key) {
        return call<Register>([&](auto done) { store_.read_register(key, std::move(done)); });
    }
    Outcome<RegisterTag> start_write(const std::string& key, const std::string& value, const RegisterTag& expected) {
        return start<RegisterTag>(
            [&](auto done) { store_.write_register(key, {value.begin(), value.end()}, expected, std::move(done)); });
    }
    Result<RegisterTag> write_register(const std::string& key, const std::string& value, const RegisterTag& expected) {
        return finish<RegisterTag>(start_write(key, value, expected));
    }
    Result<> append(Upload& upload, bytes::Chain data) {
        return call<void>([&](auto done) { upload.append(std::move(data), std::move(done)); });
    }
    Result<> finish_upload(Upload& upload) {
        return call<void>([&](auto done) { upload.finish(std::move(done)); });
    }
    Result<> abort(Upload& upload) {
        return call<void>([&](auto done) { upload.abort(std::move(done)); });
    }

  private:
    StoreHost& host_;
    ChunkStore& store_;
};

// Bytes that differ by place and seed, in slices of odd sizes.
bytes::Chain pattern(std::size_t size, unsigned seed);
std::vector<std::uint8_t> content(const bytes::Slice& slice);

}  // namespace millrace::lts
