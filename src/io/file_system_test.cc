// What only the real implementations have: the choice between them, and the system's refusals.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <future>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/blocking_pool.h"
#include "io/file.h"
#include "io/posix_common.h"
#include "io/uring_files.h"
#include "runtime/core_loop.h"
#include "runtime/manual_executor.h"

namespace millrace::io {
namespace {

class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string pattern = testing::TempDir() + "millrace-fs-XXXXXX";
        path_ = ::mkdtemp(pattern.data());
    }
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

TEST(UringRefusal, NamesTheLikelyCause) {
    EXPECT_NE(explain_uring_refusal(ENOSYS, std::nullopt).find("older than 5.1"), std::string::npos);
    EXPECT_NE(explain_uring_refusal(EPERM, 0).find("seccomp"), std::string::npos);
    EXPECT_NE(explain_uring_refusal(EPERM, std::nullopt).find("seccomp"), std::string::npos);
    EXPECT_NE(explain_uring_refusal(EPERM, 1).find("io_uring_group"), std::string::npos);
    EXPECT_NE(explain_uring_refusal(EPERM, 2).find("kernel.io_uring_disabled=2"), std::string::npos);
    EXPECT_NE(explain_uring_refusal(ENOMEM, 0).find("RLIMIT_MEMLOCK"), std::string::npos);
}

TEST(MakeFileSystem, UringNeedsACoreLoop) {
    runtime::ManualExecutor executor;
    EXPECT_EQ(make_file_system(executor, Backend::kUring).error(), Errc::kUnsupported);
    EXPECT_EQ((*make_file_system(executor, Backend::kAuto))->description(), "thread pool of 4");
    EXPECT_EQ((*make_file_system(executor, Backend::kThreads))->description(), "thread pool of 4");
}

TEST(MakeFileSystem, AutoTakesWhatThereIs) {
    runtime::CoreLoop loop("io-test", 1);
    bool uring = make_uring_file_system(loop).has_value();
    auto chosen = make_file_system(loop, Backend::kAuto);
    ASSERT_TRUE(chosen.has_value());
    EXPECT_EQ((*chosen)->description(), uring ? "io_uring" : "thread pool of 4");
    EXPECT_EQ(make_file_system(loop, Backend::kUring).has_value(), uring);
}

constexpr int kCannotFilter = 77;

// From here on this process is refused one system call, as in a container.
void forbid(unsigned system_call, unsigned error_number) {
    std::array<sock_filter, 4> program{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error_number),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }};
    sock_fprog filter{program.size(), program.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        std::_Exit(kCannotFilter);
    }
}

// Writes a file with whatever kAuto chooses under the filter; 0 when it was the thread pool and all went well.
int write_under_filter(unsigned system_call, unsigned error_number, const std::string& path) {
    forbid(system_call, error_number);
    runtime::CoreLoop loop("io-test", 1);
    loop.start();
    auto files = make_file_system(loop, Backend::kAuto);
    if (!files || (*files)->description() != "thread pool of 4") return 1;
    if (make_file_system(loop, Backend::kUring).error() != Errc::kUnsupported) return 2;
    auto file = (*files)->open(path, {.create = true});
    if (!file) return 3;
    std::promise<bool> written;
    std::vector<std::uint8_t> data(10'000, 'x');
    (*file)->write(0, {data}, true, [&](Result<> result) { written.set_value(result.has_value()); });
    if (!written.get_future().get() || *(*file)->size() != 10'000) return 4;
    file->reset();
    files->reset();
    loop.stop();
    return 0;
}

bool accept_skipped(int status) {
    return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == kCannotFilter);
}

class Filtered : public testing::TestWithParam<std::pair<unsigned, unsigned>> {};

TEST_P(Filtered, FallsBackToThreads) {
    testing::GTEST_FLAG(death_test_style) = "threadsafe";
    TemporaryDirectory directory;
    auto [system_call, error_number] = GetParam();
    std::string path = directory.path() + "/f";
    EXPECT_EXIT(std::_Exit(write_under_filter(system_call, error_number, path)), accept_skipped, "");
}

INSTANTIATE_TEST_SUITE_P(SystemCalls, Filtered,
                         testing::Values(std::pair(SYS_io_uring_setup, EPERM), std::pair(SYS_io_uring_setup, ENOSYS),
                                         std::pair(SYS_io_uring_enter, EPERM),
                                         std::pair(SYS_io_uring_register, EPERM)));

// An emulated kernel without synced writes: written, then synced.
TEST(PosixFiles, SyncedWritesWithoutTheSystemCall) {
    testing::GTEST_FLAG(death_test_style) = "threadsafe";
    TemporaryDirectory directory;
    std::string path = directory.path() + "/f";
    auto run = [&] {
        forbid(SYS_pwritev2, EOPNOTSUPP);
        runtime::ManualExecutor executor;
        auto files = make_file_system(executor, Backend::kThreads);
        PosixFile file(::open(path.c_str(), O_RDWR | O_CREAT, 0600), path, {});
        std::vector<std::uint8_t> data(100, 'x');
        std::vector<bytes::ByteSpan> pieces{data};
        return file.write_all(IoVector(pieces), 0, true).has_value() && *file.size() == 100 ? 0 : 1;
    };
    EXPECT_EXIT(std::_Exit(run()), accept_skipped, "");
}

// Opening it would wait for somebody who writes.
TEST(PosixFiles, APipeIsNeitherAFileNorADirectory) {
    TemporaryDirectory directory;
    std::string path = directory.path() + "/pipe";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    runtime::ManualExecutor executor;
    auto files = make_file_system(executor, Backend::kThreads);
    auto status = (*files)->status(path);
    ASSERT_TRUE(status.has_value());
    EXPECT_FALSE(status->regular || status->directory);
}

TEST(PosixFiles, PermissionDeniedIsTheCallersError) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs to change its identity";
    TemporaryDirectory directory;
    runtime::ManualExecutor executor;
    auto files = make_file_system(executor, Backend::kThreads);
    ASSERT_TRUE((*files)->open(directory.path() + "/f", {.create = true}).has_value());
    ::setfsuid(65534);  // of this thread only
    auto file = (*files)->open(directory.path() + "/f", {});
    auto created = (*files)->open(directory.path() + "/g", {.create = true});
    auto listed = (*files)->list(directory.path());
    ::setfsuid(0);
    ASSERT_FALSE(file.has_value());
    EXPECT_EQ(file.error(), Errc::kInvalidArgument);
    EXPECT_NE(file.error().message().find("Permission denied"), std::string::npos) << file.error().to_string();
    EXPECT_EQ(created.error(), Errc::kInvalidArgument);
    EXPECT_EQ(listed.error(), Errc::kInvalidArgument);
}

TEST(PosixFiles, DirectIsBufferedWhereUnsupported) {
    runtime::ManualExecutor executor;
    auto files = make_file_system(executor, Backend::kThreads);
    auto file = (*files)->open("/proc/version", {.direct = true, .read_only = true});
    ASSERT_TRUE(file.has_value()) << file.error().to_string();
    bytes::SlabRef slab = bytes::Slab::allocate(4096);
    auto count = (*file)->read_blocking(0, {slab->data(), slab->capacity()});
    ASSERT_TRUE(count.has_value());
    EXPECT_GT(*count, 0u);
}

TEST(PosixFiles, FullDeviceIsNoSpace) {
    runtime::ManualExecutor executor;
    auto files = make_file_system(executor, Backend::kThreads);
    auto file = (*files)->open("/dev/full", {});
    ASSERT_TRUE(file.has_value());
    std::vector<std::uint8_t> data(10);
    EXPECT_EQ((*file)->write_blocking(0, data).error(), Errc::kNoSpace);
}

// A write that the device takes only in part is continued, and what stops it is reported.
TEST(PosixFiles, PartialWritesAreContinued) {
    TemporaryDirectory directory;
    runtime::CoreLoop loop("io-test", 1);
    loop.start();
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    rlimit small{.rlim_cur = 5000, .rlim_max = before.rlim_max};
    std::vector<std::uint8_t> data(10'000, 'x');
    for (Backend backend : {Backend::kThreads, Backend::kAuto}) {
        auto files = make_file_system(loop, backend);
        auto file = (*files)->open(directory.path() + "/" + (*files)->description(), {.create = true});
        ::setrlimit(RLIMIT_FSIZE, &small);
        std::promise<Result<>> written;
        loop.post(
            [&] { (*file)->write(0, {data}, true, [&](Result<> result) { written.set_value(std::move(result)); }); });
        Result<> result = written.get_future().get();
        ::setrlimit(RLIMIT_FSIZE, &before);
        EXPECT_EQ(result.error(), Errc::kLimit) << (*files)->description();
        EXPECT_EQ(*(*file)->size(), 5000u);
        file->reset();
    }
    loop.stop();
}

TEST(IoVector, AdvancesOverPieces) {
    std::vector<std::uint8_t> a(10), b(20);
    IoVector vector({bytes::ByteSpan(a), bytes::ByteSpan(), bytes::ByteSpan(b)});
    ASSERT_EQ(vector.next().size(), 2u);
    vector.advance(4);
    EXPECT_EQ(vector.next()[0].iov_base, a.data() + 4);
    EXPECT_EQ(vector.next()[0].iov_len, 6u);
    vector.advance(7);
    ASSERT_EQ(vector.next().size(), 1u);
    EXPECT_EQ(vector.next()[0].iov_base, b.data() + 1);
    EXPECT_FALSE(vector.done());
    vector.advance(19);
    EXPECT_TRUE(vector.done());
    EXPECT_EQ(vector.transferred(), 30u);
}

TEST(BlockingPool, StopFinishesWhatWasSubmitted) {
    std::atomic<int> ran = 0;
    std::atomic<int> refused = 0;
    BlockingPool pool("test", 3);
    for (int i = 0; i < 100; ++i) pool.submit([&](bool open) { ++(open ? ran : refused); });
    pool.stop();
    EXPECT_EQ(ran, 100);
    pool.submit([&](bool open) { ++(open ? ran : refused); });
    EXPECT_EQ(refused, 1);
}

TEST(BlockingPool, UsesItsThreads) {
    BlockingPool pool("test", 2);
    std::promise<void> first, second;
    pool.submit([&](bool) {
        first.set_value();
        second.get_future().wait();
    });
    pool.submit([&](bool) {
        first.get_future().wait();
        second.set_value();
    });
    pool.stop();
}

}  // namespace
}  // namespace millrace::io
