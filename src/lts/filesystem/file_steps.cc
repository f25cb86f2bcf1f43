#include "lts/filesystem/file_steps.h"

namespace millrace::lts {

Async<> sync_file(std::shared_ptr<io::File> file) {
    auto start = [&](runtime::Callback<Result<>> done) { file->sync(std::move(done)); };
    co_return co_await runtime::await<Result<>>(std::move(start));
}

Async<std::size_t> read_file(std::shared_ptr<io::File> file, std::uint64_t offset, bytes::MutableByteSpan target) {
    auto start = [&](runtime::Callback<Result<std::size_t>> done) { file->read(offset, target, std::move(done)); };
    co_return co_await runtime::await<Result<std::size_t>>(std::move(start));
}

}  // namespace millrace::lts
