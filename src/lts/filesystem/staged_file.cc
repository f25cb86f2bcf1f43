#include "lts/filesystem/staged_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/units.h"
#include "lts/filesystem/file_steps.h"

namespace millrace::lts {
namespace {

constexpr std::size_t kPiece = 1 * kMiB;  // of one write

Result<> write_copied(io::File& file, std::uint64_t offset, const bytes::Chain& part) {
    std::size_t padded = align_up(part.size(), bytes::kPageSize);
    bytes::SlabRef slab = bytes::Slab::allocate(padded);
    std::uint8_t* to = slab->data();
    for (const bytes::Slice& slice : part.slices()) {
        std::memcpy(to, slice.span().data(), slice.size());
        to += slice.size();
    }
    std::memset(to, 0, padded - part.size());
    return file.write_blocking(offset, {slab->data(), padded});
}

}  // namespace

StagedFile::StagedFile(io::FileSystem& files, runtime::Semaphore& turns, std::shared_ptr<io::File> file)
    : files_(files), turns_(turns), file_(std::move(file)) {}

Async<> StagedFile::begin(bytes::Chain part) {
    auto wait = [&](runtime::Callback<runtime::SemaphoreUnits> granted) { turns_.take(1, std::move(granted)); };
    flight_->turn = co_await runtime::await<runtime::SemaphoreUnits>(std::move(wait));
    std::uint64_t offset = begun_;
    begun_ += part.size();
    flight_->busy = true;
    auto work = [flight = flight_, file = file_, offset, part = std::move(part)]() mutable {
        flight->written = write_copied(*file, offset, part);
        part.clear();  // here, where nobody waits for it
    };
    auto landing = std::make_shared<Landing>();
    landing_ = landing;
    auto done = [flight = flight_, landing = std::move(landing)] {
        flight->busy = false;
        flight->turn = {};
        if (flight->outcome) flight->outcome = std::move(flight->written);
        if (auto tell = std::exchange(landing->waiting, nullptr)) tell();
    };
    files_.run_blocking(std::move(work), std::move(done));
    co_return Result<>();
}

Async<> StagedFile::settle() {
    if (flight_->busy) {
        auto start = [landing = landing_](runtime::Callback<> done) {
            if (auto there = landing.lock()) there->waiting = std::move(done);
        };
        co_await runtime::await<void>(std::move(start));
    }
    co_return flight_->outcome;
}

Async<> StagedFile::append(bytes::Chain data) {
    size_ += data.size();
    rest_.append(data);
    while (rest_.size() >= bytes::kPageSize) {
        std::size_t size = std::min(rest_.size() / bytes::kPageSize * bytes::kPageSize, kPiece);
        Result<> before = co_await settle();
        if (!before) co_return before;
        bytes::Chain part = rest_.sub(0, size);
        rest_ = rest_.sub(size, rest_.size() - size);
        (void)co_await begin(std::move(part));
    }
    co_return flight_->outcome;
}

Async<> StagedFile::finish() {
    Result<> before = co_await settle();
    if (!before) co_return before;
    if (!rest_.empty()) {
        bytes::Chain last_part = std::exchange(rest_, {});
        (void)co_await begin(std::move(last_part));
        Result<> last = co_await settle();
        if (!last) co_return last;
        std::move_only_function<Result<>()> cut = [file = file_, size = size_] { return file->resize(size); };
        Result<> exact = co_await on_pool<void>(files_, std::move(cut));
        if (!exact) co_return exact;
    }
    co_return co_await sync_file(file_);
}

}  // namespace millrace::lts
