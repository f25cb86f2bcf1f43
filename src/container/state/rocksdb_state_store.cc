#include "container/state/rocksdb_state_store.h"

#include <chrono>
#include <deque>
#include <variant>

#include "base/assert.h"
#include "base/log.h"

namespace millrace::container::state {
namespace {

constexpr std::size_t kJobBytes = 4 * kMiB;  // batches that one job takes, unless the first one alone is larger
constexpr auto kPoolRetry = std::chrono::milliseconds(2);
constexpr auto kStallRetry = std::chrono::milliseconds(10);
constexpr auto kSpaceRetry = std::chrono::milliseconds(500);
constexpr auto kSizesEvery = std::chrono::seconds(1);

class RocksdbStateStore final : public StateStore {
  public:
    RocksdbStateStore(std::shared_ptr<Database> database, runtime::BlockingPool& pool, runtime::Executor& executor)
        : database_(std::move(database)), pool_(pool), executor_(executor), applied_(database_->written()) {
        last_queued_ = flushed_ = applied_;
    }
    ~RocksdbStateStore() override {
        executor_.cancel(pool_timer_);
        executor_.cancel(retry_timer_);
    }

    LogSequence applied() const override { return applied_; }
    Result<> load(const KeyRange& range, const Visit& visit) override { return database_->load(range, visit); }

    void apply(StateBatch batch, LogSequence through, Done<> done) override {
        MILLRACE_ASSERT(through > last_queued_);
        last_queued_ = through;
        queued_bytes_ += batch.size_bytes();
        ++queued_batches_;
        queue_.emplace_back(Apply{std::move(batch), through, std::move(done)});
        pump_later();
    }

    void flush(Done<LogSequence> done) override {
        queue_.emplace_back(std::move(done));
        pump_later();
    }

    void get(std::string key, Done<StateValue> done) override {
        read<StateValue>([key = std::move(key)](Database& database) { return database.get(key); }, std::move(done));
    }
    void multi_get(std::vector<std::string> keys, Done<StateValues> done) override {
        read<StateValues>([keys = std::move(keys)](Database& database) { return database.multi_get(keys); },
                          std::move(done));
    }
    void scan(ScanRequest request, Done<ScanPage> done) override {
        read<ScanPage>([request = std::move(request)](Database& database) { return database.scan(request); },
                       std::move(done));
    }

    void end_waiting() override {
        waits_for_space_ = false;
        executor_.cancel(retry_timer_);
        retry_timer_ = runtime::TimerId(0);
        pump_later();
    }

    StateStats stats() const override {
        StateStats stats;
        stats.applied = applied_;
        stats.flushed = flushed_;
        stats.queued_batches = queued_batches_;
        stats.queued_bytes = queued_bytes_;
        stats.flushes = flushes_;
        stats.disk_bytes = sizes_.disk_bytes;
        stats.write_buffer_bytes = sizes_.write_buffer_bytes;
        stats.reader_bytes = sizes_.reader_bytes;
        stats.trouble = failed_;
        return stats;
    }

    void close(runtime::Task closed) override {
        MILLRACE_ASSERT(!closed_);
        closed_ = std::move(closed);
        pump_later();
    }

  private:
    struct Apply {
        StateBatch batch;
        LogSequence through;
        Done<> done;
    };
    using Request = std::variant<Apply, Done<LogSequence>>;
    struct WriteJob {
        std::vector<Apply> applies;
        Result<> result;
        bool no_space = false;  // it was not tried
        std::optional<Database::Sizes> sizes;
    };

    // ---- the pool ----

    // Runs `work` on the pool, then `done` here. Waits when the pool is full.
    void run(std::move_only_function<void(Database&)> work, runtime::Task done) {
        ++under_way_;
        auto task =
            std::make_shared<runtime::Task>([database = database_, work = std::move(work), &home = executor_,
                                             life = std::weak_ptr<int>(life_), this, done = std::move(done)]() mutable {
                work(*database);
                database.reset();  // the last one may be this one: close on the pool, not on the core
                home.post([life = std::move(life), this, done = std::move(done)]() mutable {
                    if (!life.lock()) return;
                    --under_way_;
                    done();
                    if (life.lock()) pump();  // `closed` may destroy the store
                });
            });
        if (!refused_.empty() || !pool_.submit([task] { (*task)(); })) {
            refused_.push_back(std::move(task));
            wait_for_pool();
        }
    }
    void wait_for_pool() {
        if (pool_timer_.value() != 0) return;
        pool_timer_ = executor_.call_after(kPoolRetry, [this] {
            pool_timer_ = runtime::TimerId(0);
            while (!refused_.empty()) {
                auto task = refused_.front();
                if (!pool_.submit([task] { (*task)(); })) return wait_for_pool();
                refused_.pop_front();
            }
        });
    }

    template <typename T, typename Work>
    void read(Work work, Done<T> done) {
        if (closed_ || !database_) {
            executor_.post([done = std::move(done)]() mutable { done(fail(Errc::kClosed)); });
            return;
        }
        auto result = std::make_shared<Result<T>>();
        run([work = std::move(work), result](Database& database) { *result = work(database); },
            [result, done = std::move(done)]() mutable { done(std::move(*result)); });
    }

    // ---- batches and flushes, in order ----

    // At the end of the turn, so that one job takes all of it; and callbacks never run within the call.
    void pump_later() {
        if (pump_deferred_) return;
        pump_deferred_ = true;
        executor_.defer([life = std::weak_ptr<int>(life_), this] {
            if (!life.lock()) return;
            pump_deferred_ = false;
            pump();
        });
    }

    void pump() {
        if (closed_) return finish_closing();
        if (failed_) return refuse_queue(*failed_);
        while (!queue_.empty() && !writing_) {
            if (auto* done = std::get_if<Done<LogSequence>>(&queue_.front())) {
                flushes_wanted_.push_back(std::move(*done));
                queue_.pop_front();
            } else if (retry_timer_.value() != 0) {
                break;
            } else {
                start_write();
            }
        }
        if (!flushes_wanted_.empty() && !flushing_) start_flush();
    }

    void start_write() {
        auto job = std::make_shared<WriteJob>();
        std::size_t size = 0;
        while (!queue_.empty() && (job->applies.empty() || size < kJobBytes)) {
            auto* apply = std::get_if<Apply>(&queue_.front());
            if (apply == nullptr) break;
            size += apply->batch.size_bytes();
            job->applies.push_back(std::move(*apply));
            queue_.pop_front();
        }
        writing_ = true;
        auto now = executor_.clock().now();
        bool measure = now >= sizes_next_;
        if (measure) sizes_next_ = now + kSizesEvery;
        run(
            [job, measure, waits = waits_for_space_](Database& database) {
                if (waits) job->result = database.check_space();
                job->no_space = !job->result;
                if (job->no_space) return;
                std::vector<const StateBatch*> batches;
                for (const Apply& apply : job->applies) batches.push_back(&apply.batch);
                job->result = database.write(batches, job->applies.back().through);
                if (measure) job->sizes = database.sizes();
            },
            [this, job] { on_written(*job); });
    }

    static bool may_repeat(const Error& error) { return error == Errc::kUnavailable; }
    void set_failed(const Error& error) {
        if (failed_) return;
        failed_ = error;
        log::error("the container must be recovered: {}", error.to_string());
    }

    void on_written(WriteJob& job) {
        writing_ = false;
        if (job.sizes) sizes_ = *job.sizes;
        if (job.no_space != std::exchange(no_space_, job.no_space)) {
            if (job.no_space)
                log::warn("{}; nothing is added to it until there is more, and writers may have to wait",
                          job.result.error().message());
            else
                log::info("the disk has space again for the state of a container");
        }
        if (!job.result && may_repeat(job.result.error())) return retry_later(job);
        if (!job.result) set_failed(job.result.error());
        for (Apply& apply : job.applies) {
            --queued_batches_;
            queued_bytes_ -= apply.batch.size_bytes();
            if (job.result) applied_ = apply.through;
            apply.done(job.result);
        }
    }

    void retry_later(WriteJob& job) {
        for (auto apply = job.applies.rbegin(); apply != job.applies.rend(); ++apply) {
            queue_.emplace_front(std::move(*apply));
        }
        retry_timer_ = executor_.call_after(job.no_space ? kSpaceRetry : kStallRetry, [this] {
            retry_timer_ = runtime::TimerId(0);
            pump();
        });
    }

    void start_flush() {
        flushing_ = true;
        struct Job {
            std::vector<Done<LogSequence>> done;
            Result<LogSequence> result;
            Database::Sizes sizes;
        };
        auto job = std::make_shared<Job>();
        job->done = std::exchange(flushes_wanted_, {});
        run(
            [job](Database& database) {
                job->result = database.flush();
                job->sizes = database.sizes();
            },
            [this, job] {
                flushing_ = false;
                sizes_ = job->sizes;
                if (job->result) {
                    flushed_ = std::max(flushed_, *job->result);
                    ++flushes_;
                } else if (!may_repeat(job->result.error())) {
                    set_failed(job->result.error());
                }
                for (Done<LogSequence>& done : job->done) done(job->result);
            });
    }

    void refuse_queue(const Error& error) {
        auto queue = std::exchange(queue_, {});
        for (Request& request : queue) {
            if (auto* apply = std::get_if<Apply>(&request)) {
                --queued_batches_;
                queued_bytes_ -= apply->batch.size_bytes();
                apply->done(fail(error));
            } else {
                std::get<Done<LogSequence>>(request)(fail(error));
            }
        }
        for (Done<LogSequence>& done : std::exchange(flushes_wanted_, {})) done(fail(error));
    }

    void finish_closing() {
        refuse_queue(Errc::kClosed);
        if (under_way_ > 0 || !database_) return;
        auto closed = std::make_shared<runtime::Task>(std::exchange(closed_, [] {}));
        run([](Database&) {}, [closed] { (*closed)(); });
        database_.reset();
    }

    std::shared_ptr<Database> database_;  // null once closed
    runtime::BlockingPool& pool_;
    runtime::Executor& executor_;
    std::deque<Request> queue_;
    bool pump_deferred_ = false;
    bool writing_ = false;
    bool flushing_ = false;
    bool waits_for_space_ = true;
    bool no_space_ = false;                               // said so
    std::vector<Done<LogSequence>> flushes_wanted_;       // all batches before them are written
    std::size_t under_way_ = 0;                           // jobs
    std::deque<std::shared_ptr<runtime::Task>> refused_;  // by the full pool
    runtime::TimerId pool_timer_;
    runtime::TimerId retry_timer_;
    LogSequence last_queued_;
    LogSequence applied_;
    LogSequence flushed_;
    std::size_t queued_batches_ = 0;
    std::size_t queued_bytes_ = 0;
    std::uint64_t flushes_ = 0;
    Database::Sizes sizes_;
    std::chrono::steady_clock::time_point sizes_next_;
    std::optional<Error> failed_;
    runtime::Task closed_;
    std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace

Result<std::unique_ptr<StateStore>> open_rocksdb_state(DatabaseOptions options,
                                                       std::shared_ptr<StateResources> resources,
                                                       runtime::BlockingPool& pool, runtime::Executor& executor) {
    auto database = Database::open(std::move(options), std::move(resources));
    if (!database) return fail(database.error());
    return std::make_unique<RocksdbStateStore>(std::move(*database), pool, executor);
}

}  // namespace millrace::container::state
