// What is read back from the journal while it runs is checked: whatever changed on disk is an error with its place, for
// that frame alone.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "wal/local/journal_fixture.h"

namespace millrace::wal::local {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class JournalReads : public JournalFixture {
  protected:
    Result<Bytes> read(ContainerId container, LogAddress address, std::size_t size) {
        std::optional<Result<bytes::Slice>> result;
        log_of(container).read(address, size, [&](Result<bytes::Slice> data) { result = std::move(data); });
        executor.run_until_idle();
        if (!result) return fail(Errc::kUnavailable, "no answer");
        if (!*result) return fail(result->error());
        return Bytes((*result)->span().begin(), (*result)->span().end());
    }
    Result<Bytes> read(ContainerId container, const Appended& frame, std::size_t from, std::size_t size) {
        return read(container, frame.payload.plus(from), size);
    }
    static std::uint64_t begin_of(const Appended& frame) { return frame.payload.offset - kFrameHeaderSize; }
    static DamagedFrame place_of(const Appended& frame, std::size_t size) {
        return {begin_of(frame), begin_of(frame) + frame_bytes(size)};
    }
    void flip(const Appended& frame, std::uint64_t offset) {
        files.flip_bit(path(frame.payload.file), offset, offset % 8);
    }
    void expect_good(ContainerId container, const Appended& frame, std::size_t size) {
        auto data = read(container, frame, 0, size);
        ASSERT_TRUE(data.has_value()) << data.error().to_string();
        EXPECT_EQ(*data, make_payload(container, frame.sequence, 0, size));
    }
    void expect_damaged(const Result<Bytes>& data, const Appended& frame, std::size_t size) {
        ASSERT_FALSE(data.has_value()) << "damaged bytes were served";
        EXPECT_EQ(data.error().code(), Errc::kCorrupt) << data.error().to_string();
        EXPECT_THAT(data.error().message(),
                    AllOf(HasSubstr(path(frame.payload.file)), HasSubstr(fmt::format("offset {}:", begin_of(frame)))));
        EXPECT_EQ(damaged_frame(data.error()), place_of(frame, size));
    }
};

TEST_F(JournalReads, AFlippedBitIsToldWithItsPlaceAndItsNeighboursAreReadable) {
    start();
    Appended before = must_append(kOne, 5000);
    Appended frame = must_append(kOne, 20'000);
    Appended behind = must_append(kTwo, 300);
    expect_good(kOne, frame, 20'000);
    flip(frame, frame.payload.offset + 15'000);
    // Wherever in the frame it is read, also far from the bit.
    for (std::size_t from : {0u, 100u, 14'999u, 19'999u}) {
        auto data = read(kOne, frame, from, 1);
        expect_damaged(data, frame, 20'000);
        EXPECT_THAT(data.error().message(), HasSubstr("frame 2 of container 1"));
    }
    expect_good(kOne, before, 5000);
    expect_good(kTwo, behind, 300);
    EXPECT_EQ(journal->stats().damaged_frames, 1u) << "told once";
    flip(frame, frame.payload.offset + 15'000);
    expect_good(kOne, frame, 20'000);
    EXPECT_EQ(must_append(kOne, 10).sequence, LogSequence(3)) << "appends go on";
}

TEST_F(JournalReads, EveryBitOfHeaderAndPayloadCounts) {
    start();
    must_append(kOne, 10);
    Appended frame = must_append(kOne, 5000);
    must_append(kOne, 10);
    for (std::uint64_t at = begin_of(frame); at < frame.payload.offset + 5000;
         at += at < frame.payload.offset ? 1 : 97) {
        flip(frame, at);
        expect_damaged(read(kOne, frame, 10, 20), frame, 5000);
        flip(frame, at);
    }
    expect_good(kOne, frame, 5000);
    // The rest of the last page is no data.
    flip(frame, frame.payload.offset + 5000);
    expect_good(kOne, frame, 5000);
}

TEST_F(JournalReads, AReadOverSeveralFramesChecksThemAll) {
    start();
    Appended first = must_append(kOne, 5000);
    Appended second = must_append(kTwo, 9000);
    Appended third = must_append(kOne, 100);
    Appended last = must_append(kOne, 100);
    std::uint64_t begin = first.payload.offset + 1000;
    std::size_t size = third.payload.offset + 50 - begin;
    auto data = read(kOne, {1, begin}, size);
    ASSERT_TRUE(data.has_value()) << data.error().to_string();
    Bytes expected = make_payload(kOne, LogSequence(2), 0, 100);
    EXPECT_TRUE(std::equal(data->end() - 50, data->end(), expected.begin()));
    EXPECT_EQ(data->front(), make_payload(kOne, LogSequence(1), 0, 5000)[1000]);
    for (auto [frame, bytes] : {std::pair(first, 5000u), std::pair(second, 9000u), std::pair(third, 100u)}) {
        std::uint64_t at = frame.payload.offset + (bytes > 1000 ? 20 : 90);  // bits outside of the range as well
        flip(frame, at);
        expect_damaged(read(kOne, {1, begin}, size), frame, bytes);
        flip(frame, at);
    }
    flip(last, last.payload.offset);
    EXPECT_TRUE(read(kOne, {1, begin}, size).has_value());
}

TEST_F(JournalReads, APageOfAnotherPlaceIsNotTakenForTheFrame) {
    start();
    Appended first = must_append(kOne, 100);
    Appended second = must_append(kOne, 100);
    Bytes data = content(path(1));
    auto at = data.begin() + static_cast<std::ptrdiff_t>(begin_of(first));
    overwrite(path(1), begin_of(second), Bytes(at, at + kPage));
    expect_damaged(read(kOne, second, 0, 100), second, 100);
    expect_good(kOne, first, 100);
}

TEST_F(JournalReads, FilesThatStayAreCheckedAfterARestart) {
    start();
    std::vector<Appended> frames;
    while (frames.empty() || frames.back().payload.file < 3) frames.push_back(must_append(kOne, 30'000));
    frames.push_back(must_append(kOne, 30'000));
    drop();
    start();
    ASSERT_EQ(recovered.frames[kOne].size(), frames.size());
    for (const Appended& frame : frames) expect_good(kOne, frame, 30'000);
    for (const Appended& frame : frames) {
        flip(frame, frame.payload.offset + 29'000);
        expect_damaged(read(kOne, frame, 0, 100), frame, 30'000);
        flip(frame, frame.payload.offset + 29'000);
    }
    Appended further = must_append(kOne, 5000);
    expect_good(kOne, further, 5000);
    flip(further, further.payload.offset);
    expect_damaged(read(kOne, further, 4000, 1000), further, 5000);
}

TEST_F(JournalReads, AFileThatIsUsedAgainHasItsNewFramesOnly) {
    start();
    auto used_again = [&] {
        for (std::size_t i = 0; i < 200; ++i) {
            Appended frame = must_append(kOne, i % 3 == 0 ? 100 : 20'000);
            expect_good(kOne, frame, i % 3 == 0 ? 100 : 20'000);
            log_of(kOne).truncate(frame.sequence);
            executor.run_until_idle();
        }
    };
    used_again();
    Appended last = must_append(kOne, 20'000);
    EXPECT_GT(last.payload.file, journal_files().size());
    flip(last, last.payload.offset + 10);
    expect_damaged(read(kOne, last, 10'000, 10), last, 20'000);
}

}  // namespace
}  // namespace millrace::wal::local
