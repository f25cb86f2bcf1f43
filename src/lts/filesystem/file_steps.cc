#include "lts/filesystem/file_steps.h"

#include <algorithm>

namespace millrace::lts {
namespace {

constexpr std::size_t kWriteSize = std::size_t{8} << 20;  // of one write: a thread is not held by a whole object

}  // namespace

Async<> write_chain(std::shared_ptr<io::File> file, std::uint64_t offset, bytes::Chain data) {
    std::size_t at = 0;
    while (at < data.size()) {
        bytes::Chain part = data.sub(at, std::min(kWriteSize, data.size() - at));
        auto start = [&](runtime::Callback<Result<>> done) {
            std::vector<bytes::ByteSpan> pieces;
            for (const bytes::Slice& slice : part.slices()) pieces.push_back(slice.span());
            file->write(offset + at, std::move(pieces), false, std::move(done));
        };
        Result<> written = co_await runtime::await<Result<>>(std::move(start));
        if (!written) co_return written;
        at += part.size();
    }
    co_return Result<>();
}

Async<> sync_file(std::shared_ptr<io::File> file) {
    auto start = [&](runtime::Callback<Result<>> done) { file->sync(std::move(done)); };
    co_return co_await runtime::await<Result<>>(std::move(start));
}

Async<std::size_t> read_file(std::shared_ptr<io::File> file, std::uint64_t offset, bytes::MutableByteSpan target) {
    auto start = [&](runtime::Callback<Result<std::size_t>> done) { file->read(offset, target, std::move(done)); };
    co_return co_await runtime::await<Result<std::size_t>>(std::move(start));
}

}  // namespace millrace::lts
