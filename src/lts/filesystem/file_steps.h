// Steps on files as coroutines: the file system's callbacks awaited. Arguments are kept until the step ends.
#pragma once

#include <memory>

#include "io/file.h"
#include "lts/async.h"

namespace millrace::lts {

// Runs blocking work away from the executor.
template <typename T>
Async<T> on_pool(io::FileSystem& files, std::move_only_function<Result<T>()> work) {
    auto outcome = std::make_shared<Result<T>>(fail(Errc::kClosed, "the file system is closed"));
    auto start = [&files, &work, outcome](runtime::Callback<> done) {
        auto run = [work = std::move(work), outcome]() mutable {
            *outcome = work();
            work = nullptr;
        };
        files.run_blocking(std::move(run), std::move(done));
    };
    co_await runtime::await<void>(std::move(start));
    co_return std::move(*outcome);
}

Async<> sync_file(std::shared_ptr<io::File> file);
Async<std::size_t> read_file(std::shared_ptr<io::File> file, std::uint64_t offset, bytes::MutableByteSpan target);

}  // namespace millrace::lts
