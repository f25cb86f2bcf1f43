#include "lts/filesystem/staged_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/units.h"
#include "lts/filesystem/file_steps.h"

namespace millrace::lts {
namespace {

constexpr std::size_t kWriteMax = 1 * kMiB;
constexpr std::size_t kPieceMax = 4 * kMiB;  // that a thread of the pool writes, one write after the other
constexpr unsigned kFlights = 2;             // pieces of a file on their way

// Of `size` bytes in equal parts: no small write at the end, which would stand in the disk's queue as long as a large
// one.
std::size_t equal_parts(std::uint64_t size, std::size_t most) {
    if (size == 0) return most;
    std::uint64_t count = (size + most - 1) / most;
    return align_up((size + count - 1) / count, bytes::kPageSize);
}

Result<> write_copied(io::File& file, std::uint64_t offset, const bytes::Chain& part) {
    const std::size_t most = equal_parts(part.size(), kWriteMax);
    bytes::SlabRef slab = bytes::Slab::allocate(most);
    std::size_t filled = 0;
    auto write = [&]() -> Result<> {
        std::size_t padded = align_up(filled, bytes::kPageSize);
        std::memset(slab->data() + filled, 0, padded - filled);
        auto written = file.write_blocking(offset, {slab->data(), padded});
        offset += std::exchange(filled, 0);
        return written;
    };
    for (const bytes::Slice& slice : part.slices()) {
        for (bytes::ByteSpan left = slice.span(); !left.empty();) {
            std::size_t size = std::min(left.size(), most - filled);
            std::memcpy(slab->data() + filled, left.data(), size);
            left = left.subspan(size);
            filled += size;
            if (filled < most) continue;
            if (auto written = write(); !written) return written;
        }
    }
    return filled == 0 ? Result<>() : write();
}

}  // namespace

StagedFile::StagedFile(io::FileSystem& files, std::shared_ptr<io::File> file, std::uint64_t expected_size)
    : files_(files), file_(std::move(file)), expected_(expected_size), piece_(equal_parts(expected_size, kPieceMax)) {}

void StagedFile::begin(bytes::Chain part) {
    std::uint64_t offset = begun_;
    begun_ += part.size();
    ++flights_->count;
    auto written = std::make_shared<Result<>>();
    auto work = [written, file = file_, offset, part = std::move(part)]() mutable {
        *written = write_copied(*file, offset, part);
        part.clear();  // here, where nobody waits for it
    };
    std::shared_ptr<Landing> landing = landing_.lock();
    if (!landing) landing_ = landing = std::make_shared<Landing>();
    auto done = [flights = flights_, written, landing = std::move(landing)] {
        --flights->count;
        if (flights->outcome) flights->outcome = std::move(*written);
        if (auto tell = std::exchange(landing->waiting, nullptr)) tell();
    };
    files_.run_blocking(std::move(work), std::move(done));
}

Async<> StagedFile::at_most(unsigned under_way) {
    while (flights_->count > under_way) {
        auto start = [landing = landing_](runtime::Callback<> done) {
            if (auto there = landing.lock()) there->waiting = std::move(done);
        };
        co_await runtime::await<void>(std::move(start));
    }
    co_return flights_->outcome;
}

Async<> StagedFile::settle() { co_return co_await at_most(0); }

// What is given back at the end costs as well: the disk is told of each such piece. So it is what was said, if that is
// enough.
std::uint64_t StagedFile::room_for(std::uint64_t size) const {
    return size <= expected_ ? align_up(expected_, bytes::kPageSize) : 2 * size;
}

Async<> StagedFile::append(bytes::Chain data) {
    size_ += data.size();
    rest_.append(data);
    std::uint64_t needed = begun_ + rest_.size() / bytes::kPageSize * bytes::kPageSize;
    if (needed > std::max<std::uint64_t>(reserved_, kWriteMax)) {
        reserved_ = room_for(needed);  // seldom: it waits for the writes under way
        std::move_only_function<Result<>()> take_room = [file = file_, size = reserved_] {
            return file->reserve(size);
        };
        (void)co_await on_pool<void>(files_, std::move(take_room));  // a help: without it the write says what is wrong
    }
    while (rest_.size() >= bytes::kPageSize && (rest_.size() >= piece_ || begun_ + rest_.size() == expected_)) {
        Result<> before = co_await at_most(kFlights - 1);
        if (!before) co_return before;
        std::size_t size = std::min(rest_.size() / bytes::kPageSize * bytes::kPageSize, piece_);
        bytes::Chain part = rest_.sub(0, size);
        rest_ = rest_.sub(size, rest_.size() - size);
        begin(std::move(part));
    }
    co_return flights_->outcome;
}

Async<> StagedFile::finish(std::move_only_function<Result<>()> publish) {
    Result<> before = co_await settle();
    if (!before) co_return before;
    std::move_only_function<Result<>()> last_steps = [file = file_, offset = begun_, size = size_, reserved = reserved_,
                                                      rest = std::exchange(rest_, {}),
                                                      publish = std::move(publish)]() mutable -> Result<> {
        bool exact = rest.empty() && reserved <= size;
        if (!rest.empty()) {
            if (auto written = write_copied(*file, offset, rest); !written) return written;
            rest.clear();
        }
        if (!exact) {
            if (auto cut = file->resize(size); !cut) return cut;
        }
        if (auto synced = file->sync_blocking(); !synced) return synced;
        return publish();
    };
    co_return co_await on_pool<void>(files_, std::move(last_steps));
}

}  // namespace millrace::lts
