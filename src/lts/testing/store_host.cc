#include "lts/testing/store_host.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <random>
#include <thread>

#include "base/uuid.h"
#include "io/memory_file_system.h"
#include "lts/filesystem/filesystem_store.h"
#include "lts/s3/s3_store.h"
#include "lts/testing/fake_http_server.h"
#include "lts/testing/fake_s3.h"

namespace millrace::lts {

LoopHost::LoopHost() : loop_("lts-test", std::random_device{}()) { loop_.start(); }
LoopHost::~LoopHost() { loop_.stop(); }

void LoopHost::run(const std::function<void()>& task) {
    std::promise<void> ran;
    loop_.post([&] {
        task();
        ran.set_value();
    });
    ran.get_future().wait();
}

void LoopHost::wait_until(const std::function<bool()>& reached) {
    auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    for (bool there = false; !there;) {
        ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "a completion is missing";
        run([&] { there = reached(); });
        if (!there) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

void ManualHost::wait_until(const std::function<bool()>& reached) {
    for (int steps = 0; !reached(); ++steps) {
        ASSERT_LT(steps, 1'000'000) << "a completion is missing";
        if (!executor_.run_one()) executor_.advance(std::chrono::milliseconds(1));
    }
}

namespace {

class MemoryFilesHost final : public ManualHost {
  public:
    Result<std::unique_ptr<ChunkStore>> open() override {
        return open_filesystem_store(executor_, files_, {.directory = "/tier"});
    }

  private:
    io::MemoryFileSystem files_{executor_};
};

S3Options fake_options() {
    S3Options options;
    options.endpoint = "http://fake:8000";
    options.bucket = "bucket";
    options.prefix = "a/tier";
    options.part_bytes = 5 * kMiB;
    return options;
}

Credentials fake_credentials() { return {"access", Secret("hidden-secret"), {}}; }

class FakeS3Host final : public ManualHost {
  public:
    explicit FakeS3Host(bool faulty)
        : options_(fake_options()), server_(options_, fake_credentials(), executor_.clock(), 3) {
        if (!faulty) return;
        options_.attempts_max = 40;
        options_.operation_timeout = std::chrono::hours(1);
        server_.faults = {.error_percent = 8,
                          .late_error_percent = 8,
                          .slow_down_percent = 5,
                          .throttle_percent = 3,
                          .lost_request_percent = 3,
                          .lost_reply_percent = 8,
                          .half_body_percent = 10,
                          .delay_max = std::chrono::milliseconds(30),
                          .clock_ahead_ms = -3'600'000,
                          .lost_race_is_500 = true,
                          .completion_takes_conditions = false};
    }
    Result<std::unique_ptr<ChunkStore>> open() override {
        return open_s3_store(executor_, options_, fake_credentials(),
                             std::make_unique<FakeTransport>(executor_, server_), nullptr);
    }

  private:
    S3Options options_;
    FakeS3 server_;
};

class DiskHost final : public LoopHost {
  public:
    DiskHost() {
        std::string pattern = testing::TempDir() + "millrace-lts-XXXXXX";
        root_ = ::mkdtemp(pattern.data());
        run([this] { files_ = std::move(*io::make_file_system(loop_, io::Backend::kAuto)); });
    }
    ~DiskHost() override {
        run([this] { files_.reset(); });
        std::filesystem::remove_all(root_);
    }
    Result<std::unique_ptr<ChunkStore>> open() override {
        return open_filesystem_store(loop_, *files_, {.directory = root_ + "/tier"});
    }

  private:
    std::string root_;
    std::unique_ptr<io::FileSystem> files_;
};

class HttpHost final : public LoopHost {
  public:
    HttpHost() : options_(fake_options()), server_(options_, fake_credentials(), clock_, 5), http_(server_) {
        options_.endpoint = http_.endpoint();
        options_.access_key = fake_credentials().access_key;
        options_.secret_key = fake_credentials().secret_key;
    }
    ~HttpHost() override { pool_.stop(); }
    Result<std::unique_ptr<ChunkStore>> open() override { return open_s3_store(loop_, options_, &pool_); }

  private:
    SystemClock clock_;
    S3Options options_;
    FakeS3 server_;
    FakeHttpServer http_;
    runtime::BlockingPool pool_;
};

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

class ServerHost final : public LoopHost {
  public:
    ServerHost() {
        options_ = fake_options();
        options_.endpoint = variable("MILLRACE_S3_ENDPOINT");
        options_.bucket = variable("MILLRACE_S3_BUCKET");
        if (std::string region = variable("MILLRACE_S3_REGION"); !region.empty()) options_.region = region;
        options_.access_key = variable("MILLRACE_S3_ACCESS_KEY");
        options_.secret_key = Secret(variable("MILLRACE_S3_SECRET_KEY"));
        SystemRandom random;
        options_.prefix = "test-" + to_hex(random.uuid());  // each test has a place of its own
    }
    ~ServerHost() override { pool_.stop(); }
    Result<std::unique_ptr<ChunkStore>> open() override { return open_s3_store(loop_, options_, &pool_); }

  private:
    S3Options options_;
    runtime::BlockingPool pool_;
};

}  // namespace

std::vector<std::string> store_host_names() {
    std::vector<std::string> names = {"filesystem_memory", "filesystem_disk", "s3_fake", "s3_faulty", "s3_http"};
    if (!variable("MILLRACE_S3_ENDPOINT").empty()) names.emplace_back("s3_server");
    return names;
}

std::unique_ptr<StoreHost> make_store_host(const std::string& name) {
    if (name == "filesystem_memory") return std::make_unique<MemoryFilesHost>();
    if (name == "filesystem_disk") return std::make_unique<DiskHost>();
    if (name == "s3_fake") return std::make_unique<FakeS3Host>(false);
    if (name == "s3_faulty") return std::make_unique<FakeS3Host>(true);
    if (name == "s3_http") return std::make_unique<HttpHost>();
    if (name == "s3_server") return std::make_unique<ServerHost>();
    return nullptr;
}

bytes::Chain pattern(std::size_t size, unsigned seed) {
    bytes::Chain chain;
    std::size_t at = 0;
    for (std::size_t step = 1001; at < size; step = step * 3 + 7) {
        std::size_t count = std::min(step, size - at);
        bytes::SlabRef slab = bytes::Slab::allocate(count);
        for (std::size_t i = 0; i < count; ++i)
            slab->data()[i] = static_cast<std::uint8_t>((at + i) * 31 + (at + i) / 251 + seed);
        chain.append(bytes::Slice(std::move(slab), 0, count));
        at += count;
    }
    return chain;
}

std::vector<std::uint8_t> content(const bytes::Slice& slice) { return {slice.data(), slice.data() + slice.size()}; }

}  // namespace millrace::lts
