// A real server that is killed and started again under writers: MILLRACE_S3_KILL and MILLRACE_S3_START are the
// commands. tests/e2e/s3.sh sets them.
#include <chrono>
#include <cstdlib>
#include <thread>

#include <gtest/gtest.h>

#include "lts/errors.h"
#include "lts/testing/store_host.h"

namespace millrace::lts {
namespace {

void run_command(const char* variable) {
    const char* command = std::getenv(variable);
    ASSERT_NE(command, nullptr);
    ASSERT_EQ(std::system(command), 0) << command;
}

struct Progress {
    std::vector<std::string> written;
    std::uint64_t sure = 0;     // counted up, acknowledged
    std::uint64_t unknown = 0;  // perhaps
    std::uint64_t refused = 0;
};

// Writes objects of ever new names and counts up in a register; what fails is given up and the next one tried, as the
// storage writer does.
void write_for(StoreCalls& c, std::chrono::seconds time, Progress& progress) {
    auto until = std::chrono::steady_clock::now() + time;
    for (std::uint64_t i = progress.written.size() + progress.refused; std::chrono::steady_clock::now() < until; ++i) {
        std::string key = "o/" + std::to_string(i);
        Result<> put = c.put(key, pattern(5000, static_cast<unsigned>(i)));
        if (put) {
            progress.written.push_back(key);
        } else {
            EXPECT_TRUE(is_retryable(put.error())) << put.error().to_string();
            ++progress.refused;
        }
        auto seen = c.read_register("count");
        if (!seen) {
            EXPECT_TRUE(is_retryable(seen.error())) << seen.error().to_string();
            continue;
        }
        std::uint64_t count = seen->tag.absent() ? 0 : std::stoull(std::string(seen->value.begin(), seen->value.end()));
        auto counted = c.write_register("count", std::to_string(count + 1), seen->tag);
        if (counted) {
            ++progress.sure;
        } else {
            EXPECT_TRUE(is_retryable(counted.error())) << "nobody else writes: " << counted.error().to_string();
            ++progress.unknown;
        }
    }
}

TEST(S3Outage, AcknowledgedIsThereAndAllHealsByItself) {
    if (std::getenv("MILLRACE_S3_KILL") == nullptr) GTEST_SKIP() << "MILLRACE_S3_KILL names no command";
    auto host = make_store_host("s3_server");
    std::unique_ptr<ChunkStore> store;
    host->run([&] { store = std::move(*host->open()); });
    StoreCalls c(*host, *store);
    Progress progress;
    write_for(c, std::chrono::seconds(1), progress);
    for (int round = 0; round < 2; ++round) {
        std::thread outage([] {
            std::this_thread::sleep_for(std::chrono::milliseconds(300));
            run_command("MILLRACE_S3_KILL");
            std::this_thread::sleep_for(std::chrono::seconds(3));
            run_command("MILLRACE_S3_START");
        });
        write_for(c, std::chrono::seconds(8), progress);
        outage.join();
        write_for(c, std::chrono::seconds(1), progress);
    }
    std::size_t before = progress.written.size();
    write_for(c, std::chrono::seconds(1), progress);
    EXPECT_GT(progress.written.size(), before) << "it has healed";
    EXPECT_GT(store->stats().retries, 0u) << "there was an outage";
    auto final = c.read_register("count");
    ASSERT_TRUE(final.has_value()) << final.error().to_string();
    std::uint64_t count = std::stoull(std::string(final->value.begin(), final->value.end()));
    EXPECT_GE(count, progress.sure);
    EXPECT_LE(count, progress.sure + progress.unknown);
    for (const std::string& key : progress.written) {
        auto read = c.read(key, 0, 5000);
        ASSERT_TRUE(read.has_value()) << read.error().to_string();
        EXPECT_EQ(content(*read), pattern(5000, static_cast<unsigned>(std::stoul(key.substr(2)))).to_vector());
    }
    std::printf("%zu objects written, %llu refused; %llu counted, %llu unknown\n", progress.written.size(),
                static_cast<unsigned long long>(progress.refused), static_cast<unsigned long long>(progress.sure),
                static_cast<unsigned long long>(progress.unknown));
    host->run([&] { store.reset(); });
}

}  // namespace
}  // namespace millrace::lts
