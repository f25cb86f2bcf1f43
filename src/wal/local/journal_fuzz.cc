// Recovery of arbitrary bytes. The input becomes the contents of up to four journal files behind valid file headers;
// frame headers in it can be made valid by the target itself (a checksum is not to be guessed), so that what they say
// is tried as well. Whatever is accepted must be accepted again, with the same frames, after a clean close.
#include <cstring>
#include <memory>

#include "base/log.h"
#include "bytes/binary.h"
#include "bytes/crc32c.h"
#include "io/memory_file_system.h"
#include "runtime/manual_executor.h"
#include "wal/local/frame_format.h"
#include "wal/local/local_journal.h"
#include "wal/wal_test_support.h"

namespace millrace::wal::local {
namespace {

constexpr Uuid kJournal{7, 9};

// Compact input, expanded: for each page a command byte. 0: zeros; 1: raw bytes of the input; 2: a frame header with
// fields from the input and valid checksums, over the pages that follow.
class Builder {
  public:
    explicit Builder(bytes::ByteSpan input) : input_(input) {}

    bool empty() const { return input_.remaining() == 0; }

    Bytes file(Generation generation) {
        std::size_t pages = 8 + input_.u8() % 24;
        Bytes data(pages * kPage);
        encode(FileHeader{kJournal, generation, data.size()}, {data.data(), kPage});
        for (std::size_t page = 1; page < pages; ++page) {
            std::uint8_t* at = data.data() + page * kPage;
            switch (input_.u8() % 4) {
                case 0:
                    break;
                case 1:
                    raw(at);
                    break;
                default:
                    frame(data, page * kPage, generation);
            }
        }
        return data;
    }

  private:
    void raw(std::uint8_t* at) {
        std::size_t size = std::min<std::size_t>(input_.u8() * std::size_t{16}, input_.remaining());
        bytes::ByteSpan taken = input_.bytes(size);
        if (!taken.empty()) std::memcpy(at, taken.data(), taken.size());
    }

    void frame(Bytes& data, std::uint64_t offset, Generation generation) {
        FrameHeader header;
        std::uint8_t shape = input_.u8();
        header.generation = generation;
        number_ += shape & 1 ? 1 : input_.u8();
        header.number = FrameNumber(number_);
        header.behind = shape & 2 ? 1 : input_.u8();
        epoch_ += shape & 4 ? 0 : input_.u8() % 2;
        header.epoch = epoch_;
        header.chain = shape & 8 ? chain_ : input_.le32();
        if (shape & 16) {
            header.container = kMarkerContainer;
            header.sequence = input_.u8() % 7;
        } else {
            header.container = ContainerId(input_.u8() % 4);
            header.sequence = input_.u8();
            header.first_kept = input_.u8();
        }
        header.payload_size = shape & 32 ? input_.le32() : input_.le16();
        std::uint8_t* payload = data.data() + offset + kFrameHeaderSize;
        std::size_t room = data.size() - offset - kFrameHeaderSize;
        if (shape & 64) {
            std::vector<ContainerEntry> entries;
            for (std::uint32_t i = 0; i < 3; ++i) {
                entries.push_back({ContainerId(i), LogSequence(input_.u8()), LogSequence(input_.u8())});
            }
            header.payload_size = static_cast<std::uint32_t>(table_payload_size(entries.size()));
            encode_table(entries, payload);
        } else {
            std::size_t size = std::min<std::size_t>({input_.remaining(), room, input_.u8()});
            bytes::ByteSpan taken = input_.bytes(size);
            if (!taken.empty()) std::memcpy(payload, taken.data(), taken.size());
        }
        if (header.payload_size <= room) header.payload_crc = bytes::crc32c({payload, header.payload_size});
        chain_ = encode(header, kJournal, offset, data.data() + offset);
    }

    bytes::Reader input_;
    std::uint64_t number_ = 0;
    std::uint32_t epoch_ = 1;
    std::uint32_t chain_ = 0;
};

JournalOptions fuzz_options() {
    JournalOptions options;
    options.directory = "/journal";
    options.file_bytes = 64 * kKiB;
    options.first_file_bytes = 32 * kKiB;
    options.limit_bytes = 4 * kMiB;
    options.min_free_bytes = 0;
    options.max_write_bytes = 16 * kKiB;
    options.max_payload_bytes = 16 * kKiB;
    return options;
}

void run_one(bytes::ByteSpan input) {
    runtime::ManualExecutor executor;
    io::MemoryFileSystem files(executor);
    auto ready = files.make_directories("/journal");
    Builder builder(input);
    Generation generation(1 + (input.empty() ? 0 : input[0] % 3));
    for (int i = 0; i < 4 && !builder.empty(); ++i, generation = generation.next()) {
        Bytes data = builder.file(generation);
        auto file = files.open("/journal/" + file_name(generation), {.create = true});
        auto written = (*file)->write_blocking(0, data);
        MILLRACE_ASSERT(ready && written);
    }
    constexpr ContainerId kOne(1);
    CollectingVisitor first;
    Bytes ours;
    {
        LocalJournal journal(files, executor, fuzz_options());
        if (!journal.recover(first)) return;
        auto log = journal.open(kOne, executor);
        ours = make_payload(kOne, log->next_sequence(), 1, 100);
        bool acknowledged = false;
        log->append(make_frame(ours), false, [&](Result<Appended> result) { acknowledged = result.has_value(); });
        executor.run_until_idle();
        MILLRACE_ASSERT(acknowledged);
        bool closed = false;
        journal.close([&](Result<> result) { closed = result.has_value(); });
        executor.run_until_idle();
        MILLRACE_ASSERT(closed);
    }
    CollectingVisitor second;
    LocalJournal journal(files, executor, fuzz_options());
    auto report = journal.recover(second);
    if (!report) log::error("{}", report.error().to_string());
    MILLRACE_ASSERT(report.has_value());
    // Files may have been recycled in between; what is left is what was there.
    MILLRACE_ASSERT(second.count() >= 1 && second.count() <= first.count() + 1);
    for (const auto& [container, frames] : second.frames) {
        for (const RecoveredFrame& frame : frames) {
            bool known = container == kOne && frame.payload == ours;
            for (const RecoveredFrame& before : first.frames[container]) {
                known = known || (before.where == frame.where && before.payload == frame.payload);
            }
            MILLRACE_ASSERT(known);
        }
    }
}

}  // namespace
}  // namespace millrace::wal::local

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    millrace::log::set_level(millrace::log::Level::kError);
    millrace::wal::local::run_one({data, size});
    return 0;
}
