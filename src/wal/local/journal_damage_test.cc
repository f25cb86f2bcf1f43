// What recovery makes of files as crashes, disks and people leave them. And the golden file of format version 1.
#include <algorithm>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "bytes/binary.h"
#include "wal/local/journal_fixture.h"

namespace millrace::wal::local {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

class JournalDamage : public JournalFixture {
  protected:
    // Frames of `sizes` in container 1, each acknowledged before the next is sent; their places.
    std::vector<Appended> fill(std::initializer_list<std::size_t> sizes) {
        std::vector<Appended> places;
        for (std::size_t size : sizes) places.push_back(must_append(kOne, size));
        return places;
    }
    std::uint64_t header_of(const Appended& frame) { return frame.payload.offset - kFrameHeaderSize; }
    void expect_frames(ContainerId container, std::size_t count) {
        const auto& frames = recovered.frames[container];
        ASSERT_THAT(frames, SizeIs(count));
        for (std::size_t i = 0; i < count; ++i) {
            EXPECT_EQ(frames[i].where.sequence.value(), i + 1);
            std::size_t size = frames[i].payload.size();
            EXPECT_EQ(frames[i].payload, make_payload(container, LogSequence(i + 1), 0, size));
        }
    }
    void write_file(const std::string& name, bytes::ByteSpan data) {
        auto file = files.open(name, {.create = true});
        ASSERT_TRUE(file.has_value());
        ASSERT_TRUE((*file)->resize(data.size()).has_value());
        ASSERT_TRUE((*file)->write_blocking(0, data).has_value());
    }
};

class JournalGolden : public JournalDamage {
  protected:
    static std::string golden_path() { return std::string(MILLRACE_WAL_TESTDATA) + "/journal-v1.bin"; }
    static Bytes golden() {
        std::ifstream in(golden_path(), std::ios::binary);
        return Bytes(std::istreambuf_iterator<char>(in), {});
    }
    void SetUp() override {
        JournalDamage::SetUp();
        options.first_file_bytes = 48 * kKiB;
    }
};

TEST_F(JournalGolden, IsRecovered) {
    Bytes data = golden();
    ASSERT_EQ(data.size(), 48 * kKiB) << golden_path();
    ASSERT_TRUE(files.make_directories(options.directory).has_value());
    write_file(path(1), data);
    start();
    EXPECT_EQ(report.frames, 4u);
    EXPECT_EQ(report.torn_tails, 0u);
    ASSERT_THAT(recovered.frames[kOne], SizeIs(2));
    EXPECT_EQ(recovered.frames[kOne][0].payload, make_payload(kOne, LogSequence(1), 0, 100));
    EXPECT_EQ(recovered.frames[kOne][1].where.sequence, LogSequence(2));
    EXPECT_EQ(recovered.frames[kOne][1].payload, make_payload(kOne, LogSequence(2), 0, 5000));
    ASSERT_THAT(recovered.frames[kTwo], SizeIs(2));
    EXPECT_EQ(recovered.frames[kTwo][0].payload, make_payload(kTwo, LogSequence(1), 0, 0));
    EXPECT_EQ(recovered.frames[kTwo][1].payload, make_payload(kTwo, LogSequence(2), 0, 64));
    EXPECT_EQ(log_of(kOne).next_sequence(), LogSequence(3));
    EXPECT_EQ(must_append(kOne, 10).sequence, LogSequence(3));
}

TEST_F(JournalGolden, IsWrittenByThisVersion) {
    start();
    must_append(kOne, 100);
    must_append(kTwo, 0);
    executor.advance(Millis(1000));
    log_of(kOne).truncate(LogSequence(2));
    must_append(kOne, 5000);
    drop();
    start();
    must_append(kTwo, 64);
    close();
    Bytes written = content(path(1));
    if (const char* target = std::getenv("MILLRACE_WRITE_GOLDEN")) {
        std::ofstream(target, std::ios::binary)
            .write(reinterpret_cast<const char*>(written.data()), static_cast<std::streamsize>(written.size()));
    }
    EXPECT_TRUE(written == golden()) << "the format changed: give it a new version, and keep the old golden file";
}

TEST_F(JournalDamage, FramesInFlightMayBeLostInAnyCombination) {
    start();
    fill({100, 200});
    files.set_hold(true);
    for (int i = 0; i < 4; ++i) {
        append(kOne, 6000);
        executor.run_until_idle();
    }
    ASSERT_EQ(files.held(), 4u);
    files.crash();
    auto sectors = files.pending();
    std::map<std::uint64_t, std::vector<io::PendingSector>> writes;
    for (const auto& sector : sectors) writes[sector.write_id].push_back(sector);
    ASSERT_THAT(writes, SizeIs(4));
    for (unsigned mask = 0; mask < 16; ++mask) {
        std::vector<io::PendingSector> kept;
        unsigned bit = 0;
        std::size_t prefix = 0;
        bool broken = false;
        for (auto& [id, list] : writes) {
            bool keep = (mask >> bit++ & 1) != 0;
            if (keep) kept.insert(kept.end(), list.begin(), list.end());
            broken = broken || !keep;
            if (!broken) ++prefix;
        }
        runtime::ManualExecutor other(mask);
        auto after = files.restart(other, io::CrashChoice::only(kept, SIZE_MAX));
        LocalJournal again(*after, other, options);
        CollectingVisitor found;
        auto result = again.recover(found);
        ASSERT_TRUE(result.has_value()) << result.error().to_string();
        EXPECT_EQ(found.frames[kOne].size(), 2 + prefix) << mask;
        bool later_kept = mask >> prefix != 0;
        EXPECT_EQ(result->torn_tails, later_kept ? 1u : 0u) << mask;
    }
}

// Frame k is lost, k+1 is on disk; after the restart a new frame k is written, and the power is lost again.
TEST_F(JournalDamage, AFrameFromBeforeACrashNeverFollowsOneFromAfterIt) {
    start();
    fill({100});
    files.set_hold(true);
    append(kOne, 100);
    executor.run_until_idle();
    append(kOne, 100);
    executor.run_until_idle();
    files.crash();
    auto sectors = files.pending();
    std::uint64_t lost = sectors.front().write_id;
    std::erase_if(sectors, [&](const auto& sector) { return sector.write_id == lost; });
    ASSERT_FALSE(sectors.empty());
    auto choice = io::CrashChoice::only(sectors, SIZE_MAX);

    for (std::size_t size : {100u, 4000u, 5000u, 9000u}) {
        runtime::ManualExecutor second(2);
        auto disk = files.restart(second, choice);
        LocalJournal journal_two(*disk, second, options);
        CollectingVisitor found;
        auto recovered_two = journal_two.recover(found);
        ASSERT_TRUE(recovered_two.has_value());
        EXPECT_EQ(recovered_two->torn_tails, 1u);
        EXPECT_THAT(found.frames[kOne], SizeIs(1));
        auto log = journal_two.open(kOne, second);
        EXPECT_EQ(log->next_sequence(), LogSequence(2));
        Bytes payload = make_payload(kOne, LogSequence(2), 99, size);
        bool done = false;
        log->append(make_frame(payload), false, [&](Result<Appended> result) { done = result.has_value(); });
        second.run_until_idle();
        ASSERT_TRUE(done);
        disk->crash();

        runtime::ManualExecutor third(3);
        auto last = disk->restart(third, io::CrashChoice::keep_all());
        LocalJournal journal_three(*last, third, options);
        CollectingVisitor final;
        ASSERT_TRUE(journal_three.recover(final).has_value());
        ASSERT_THAT(final.frames[kOne], SizeIs(2)) << "the old third frame must not come back";
        EXPECT_EQ(final.frames[kOne][1].payload, payload);
    }
}

TEST_F(JournalDamage, AFlippedBitBeforeTheEndIsRefused) {
    start();
    auto places = fill({100, 20'000, 300});
    drop();
    std::uint64_t header = header_of(places[1]);
    for (std::uint64_t offset : {header, header + 5, header + 30, header + 63, header + 64, header + 15'000}) {
        files.flip_bit(path(1), offset, 3);
        EXPECT_THAT(refusal(Errc::kCorrupt), AllOf(HasSubstr(path(1)), HasSubstr(fmt::format("offset {}", header)),
                                                   HasSubstr("restore the data directory")))
            << offset;
        files.flip_bit(path(1), offset, 3);
    }
    start();
    expect_frames(kOne, 3);
}

TEST_F(JournalDamage, AnyFlippedBitIsRefusedOrHarmless) {
    start();
    fill({100, 3000, 5000, 10});
    executor.advance(Millis(1000));
    drop();
    std::uint64_t used = 13 * kPage;
    std::size_t refused_count = 0;
    for (std::uint64_t offset = 0; offset < used; offset += 7) {
        files.flip_bit(path(1), offset, offset % 8);
        runtime::ManualExecutor other;
        auto copy = files.restart(other, io::CrashChoice::keep_all());
        LocalJournal again(*copy, other, options);
        CollectingVisitor found;
        auto result = again.recover(found);
        if (result) {
            ASSERT_THAT(found.frames[kOne], SizeIs(4)) << offset;
            for (std::size_t i = 0; i < 4; ++i) {
                const Bytes& payload = found.frames[kOne][i].payload;
                ASSERT_EQ(payload, make_payload(kOne, LogSequence(i + 1), 0, payload.size())) << offset;
            }
        } else {
            ++refused_count;
            bool expected = result.error() == Errc::kCorrupt || result.error() == Errc::kNewerFormat;
            ASSERT_TRUE(expected) << result.error().to_string();
        }
        files.flip_bit(path(1), offset, offset % 8);
    }
    EXPECT_GT(refused_count, 1'500u);
}

TEST_F(JournalDamage, TheIdleMarkerVouchesForTheLastFrame) {
    start();
    auto places = fill({100, 200});
    std::uint64_t offset = places[1].payload.offset + 50;
    {
        // Without it the last frame looks like one that was under way.
        runtime::ManualExecutor other;
        auto copy = files.restart(other, io::CrashChoice::keep_all());
        copy->flip_bit(path(1), offset);
        LocalJournal again(*copy, other, options);
        CollectingVisitor found;
        auto result = again.recover(found);
        ASSERT_TRUE(result.has_value());
        EXPECT_EQ(result->torn_tails, 1u);
        EXPECT_THAT(found.frames[kOne], SizeIs(1));
    }
    executor.advance(Millis(250));
    drop();
    files.flip_bit(path(1), offset);
    EXPECT_THAT(refusal(Errc::kCorrupt), HasSubstr(fmt::format("offset {}", header_of(places[1]))));
}

TEST_F(JournalDamage, AClosedOrRestartedJournalVouchesForAllItsFrames) {
    start();
    auto places = fill({100});
    close();
    files.flip_bit(path(1), places[0].payload.offset);
    refusal(Errc::kCorrupt);
    files.flip_bit(path(1), places[0].payload.offset);
    start();
    Appended next = must_append(kOne, 100);
    drop();
    start();  // its restart marker
    drop();
    files.flip_bit(path(1), next.payload.offset);
    refusal(Errc::kCorrupt);
}

TEST_F(JournalDamage, DamageAtTheEndOfAFileIsSeenFromTheNext) {
    start();
    std::vector<Appended> places;
    while (places.empty() || places.back().payload.file < 3) places.push_back(must_append(kOne, 30'000));
    drop();
    Appended last_of_two;
    for (const Appended& place : places) {
        if (place.payload.file == 2) last_of_two = place;
    }
    // From there to the end of its file, as when a copy was cut off.
    Bytes zeros(align_up(options.file_bytes - header_of(last_of_two), kPage));
    overwrite(path(2), header_of(last_of_two), zeros);
    EXPECT_THAT(refusal(Errc::kCorrupt), AllOf(HasSubstr(path(2)), HasSubstr(path(3))));
}

// A file that does not begin as a file in use does may be one that was made ready. It is one only if nothing else in it
// says that it was used.
class JournalDamageAtTheSeam : public JournalDamage {
  protected:
    // Acknowledged frames of `size` until some are in file `generation`; the last one before it.
    Appended fill_up_to(std::uint64_t generation, std::size_t size) {
        Appended last;
        for (Appended next = last; next.payload.file < generation; next = must_append(kOne, size)) last = next;
        return last;
    }
    void zero(std::uint64_t generation, std::uint64_t from, std::uint64_t to) {
        overwrite(path(generation), from, Bytes(align_up(to - from, kPage)));
    }
    void expect_refusal(std::uint64_t generation, std::uint64_t offset) {
        EXPECT_THAT(refusal(Errc::kCorrupt),
                    AllOf(HasSubstr(path(generation)), HasSubstr(fmt::format("offset {}", offset)),
                          HasSubstr(path(generation + 1))));
    }
};

TEST_F(JournalDamageAtTheSeam, OfTheLastFrameAndTheNextFilesStart) {
    start();
    Appended last = fill_up_to(3, 30'000);
    must_append(kOne, 30'000);
    drop();
    zero(2, header_of(last), options.file_bytes);
    files.flip_bit(path(3), kFileHeaderSize + 20);
    expect_refusal(2, header_of(last));
}

TEST_F(JournalDamageAtTheSeam, OfTheFileEndAloneAndTheNextFilesStart) {
    start();
    Appended last = fill_up_to(3, 30'000);
    must_append(kOne, 30'000);
    drop();
    std::uint64_t end = align_up(last.payload.offset + 30'000, kPage);
    files.flip_bit(path(2), end + 20);
    zero(3, kFileHeaderSize, kFileHeaderSize + kPage);
    expect_refusal(2, end);
}

TEST_F(JournalDamageAtTheSeam, OfMuchOfAFileAndTheNextFilesStart) {
    start();
    must_append(kOne, 300);
    Appended second = must_append(kOne, 300);
    fill_up_to(2, 30'000);
    must_append(kOne, 30'000);
    drop();
    zero(1, header_of(second), options.first_file_bytes);
    zero(2, kFileHeaderSize, kFileHeaderSize + kPage);
    expect_refusal(1, header_of(second));
}

// More than a piece that is read at once.
TEST_F(JournalDamageAtTheSeam, OfTheLastFrameAndMuchOfTheNextFile) {
    options.file_bytes = 12 * kMiB;
    options.limit_bytes = 64 * kMiB;
    start();
    Appended last = fill_up_to(2, 60'000);
    while (must_append(kOne, 60'000).payload.offset < 6 * kMiB) continue;
    drop();
    zero(1, header_of(last), options.first_file_bytes);
    zero(2, kFileHeaderSize, 5 * kMiB);
    expect_refusal(1, header_of(last));
}

TEST_F(JournalDamageAtTheSeam, IsNoneWhereFilesWereOnlyMadeReadyAgain) {
    start();
    for (int i = 0; i < 40; ++i) {
        Appended last = must_append(kOne, 30'000);
        log_of(kOne).truncate(last.sequence);
        executor.run_until_idle();
    }
    std::uint64_t current = must_append(kOne, 30'000).payload.file;
    drop();
    std::uint64_t newest = parse_file_name(journal_files().back())->value();
    ASSERT_GT(newest, current);
    Bytes ready = content(path(newest));
    EXPECT_NE(std::count(ready.begin() + kPage, ready.end(), 0), static_cast<std::ptrdiff_t>(ready.size() - kPage))
        << "the test wants a file with old frames in it";
    start();
    EXPECT_EQ(report.torn_tails, 0u);
    EXPECT_EQ(log_of(kOne).next_sequence(), LogSequence(42));
}

// The file start was in flight at a crash together with the frames after it, and was lost alone.
TEST_F(JournalDamageAtTheSeam, IsNoneWhereTheFileStartWasInFlight) {
    start();
    files.set_hold(true);
    std::size_t acknowledged_count = 0;
    while (true) {
        std::size_t index = append(kOne, 30'000);
        executor.run_until_idle();
        auto sectors = files.pending();
        auto later = [&](const io::PendingSector& sector) { return sector.file == path(2) && sector.sector >= 16; };
        if (std::any_of(sectors.begin(), sectors.end(), later)) break;
        while (files.held() > 0) {
            files.release(files.held());
            executor.run_until_idle();
        }
        ASSERT_TRUE(acknowledged(index));
        ++acknowledged_count;
    }
    files.crash();
    auto sectors = files.pending();
    std::erase_if(sectors, [&](const auto& sector) { return sector.file == path(2) && sector.sector < 16; });
    ASSERT_FALSE(sectors.empty());
    runtime::ManualExecutor other;
    auto after = files.restart(other, io::CrashChoice::only(sectors, SIZE_MAX));
    LocalJournal again(*after, other, options);
    CollectingVisitor found;
    auto result = again.recover(found);
    ASSERT_TRUE(result.has_value()) << result.error().to_string();
    EXPECT_THAT(found.frames[kOne], SizeIs(acknowledged_count));
}

TEST_F(JournalDamage, MissingFilesAreNamed) {
    start();
    for (int i = 0; i < 30; ++i) must_append(kOne, 30'000);
    drop();
    auto without = [&](std::uint64_t generation) {
        Bytes data = content(path(generation));
        EXPECT_TRUE(files.remove(path(generation)).has_value());
        std::string text = refusal(Errc::kCorrupt);
        write_file(path(generation), data);
        return text;
    };
    ASSERT_GE(journal_files().size(), 5u);
    EXPECT_THAT(without(2), AllOf(HasSubstr(path(2)), HasSubstr("missing")));
    EXPECT_THAT(without(1), AllOf(HasSubstr("journal files before it are missing"), HasSubstr("frames 1 to")));
    start();
    expect_frames(kOne, 30);
    close();
    // The newest files, with all that was in them: the file before ends with a promise of more.
    std::vector<std::string> names = journal_files();
    std::uint64_t current = recovered.frames[kOne].back().where.payload.file;
    for (std::uint64_t generation = current; generation <= parse_file_name(names.back())->value(); ++generation) {
        ASSERT_TRUE(files.remove(path(generation)).has_value());
    }
    EXPECT_THAT(refusal(Errc::kCorrupt), AllOf(HasSubstr(path(current - 1)), HasSubstr("should follow is missing")));
}

TEST_F(JournalDamage, StrangeFilesAreRefused) {
    start();
    for (int i = 0; i < 10; ++i) must_append(kOne, 30'000);
    drop();
    Bytes one = content(path(1));
    Bytes two = content(path(2));

    Bytes changed = two;
    changed[8] = 2;
    write_file(path(2), changed);
    EXPECT_THAT(refusal(Errc::kNewerFormat), AllOf(HasSubstr(path(2)), HasSubstr("version 2")));

    changed = two;
    changed.resize(changed.size() - kPage);
    write_file(path(2), changed);
    EXPECT_THAT(refusal(Errc::kCorrupt), AllOf(HasSubstr(path(2)), HasSubstr("size")));

    changed.resize(100);
    write_file(path(2), changed);
    EXPECT_THAT(refusal(Errc::kCorrupt), HasSubstr("shorter than its header"));

    write_file(path(2), Bytes(two.size()));
    EXPECT_THAT(refusal(Errc::kCorrupt), AllOf(HasSubstr(path(2)), HasSubstr("does not begin as a journal file")));

    write_file(path(2), one);
    EXPECT_THAT(refusal(Errc::kCorrupt), HasSubstr(file_name(Generation(1))));

    changed = two;
    encode(FileHeader{Uuid{1, 2}, Generation(2), two.size()}, {changed.data(), kPage});
    write_file(path(2), changed);
    EXPECT_THAT(refusal(Errc::kCorrupt), HasSubstr("another journal"));

    write_file(path(2), two);
    write_file(options.directory + "/notes.txt", one);     // not ours: left alone
    write_file(options.directory + "/next.tmp", changed);  // ours, unfinished: removed
    start();
    expect_frames(kOne, 10);
    EXPECT_THAT(journal_files(), testing::Not(testing::Contains("next.tmp")));
    EXPECT_THAT(journal_files(), testing::Contains("notes.txt"));
}

TEST_F(JournalDamage, TheStartOfTheOldestFileIsNeeded) {
    start();
    for (int i = 0; i < 30; ++i) must_append(kOne, 30'000);
    log_of(kOne).truncate(LogSequence(29));
    executor.run_until_idle();
    drop();
    std::uint64_t oldest = parse_file_name(journal_files()[0])->value();
    ASSERT_GT(oldest, 1u);
    files.flip_bit(path(oldest), kPage + 20);
    EXPECT_THAT(refusal(Errc::kCorrupt), HasSubstr("does not begin with a valid frame"));
}

// Every header a correct writer can have made, with contents it cannot have made.
TEST_F(JournalDamage, WrongSequencesAndTablesAreRefused) {
    start();
    auto places = fill({100, 100});
    drop();
    Bytes original = content(path(1));
    auto rewrite = [&](std::uint64_t at, auto change) {
        Bytes data = original;
        FileHeader file = *decode_file_header(data);
        auto decoded = decode_frame_header({data.data() + at, kFrameHeaderSize}, file.journal, Generation(1), at);
        EXPECT_TRUE(decoded.has_value());
        change(decoded->header);
        encode(decoded->header, file.journal, at, data.data() + at);
        write_file(path(1), data);
        return refusal(Errc::kCorrupt);
    };
    std::uint64_t last = header_of(places[1]);
    EXPECT_THAT(rewrite(last, [](FrameHeader& h) { h.sequence = 3; }), HasSubstr("frame 3 where 2 should be"));
    EXPECT_THAT(rewrite(last, [](FrameHeader& h) { h.container = ContainerId(5); }), HasSubstr("container 5"));
    EXPECT_THAT(rewrite(last, [](FrameHeader& h) { h.payload_size = 1 << 20; }), HasSubstr("longer than the rest"));
    EXPECT_THAT(rewrite(last,
                        [](FrameHeader& h) {
                            h.container = kMarkerContainer;
                            h.sequence = 1;
                            h.first_kept = 0;
                        }),
                HasSubstr("out of place"));
    EXPECT_THAT(rewrite(last,
                        [](FrameHeader& h) {
                            h.container = kMarkerContainer;
                            h.sequence = 4;
                            h.first_kept = 0;
                        }),
                HasSubstr("makes no sense"));
}

// A process that is killed leaves writes and names that the next one sees, but that a loss of power would still take.
TEST_F(JournalDamage, WhatIsRecoveredIsOnStableStorage) {
    start();
    fill({100, 20'000, 300});
    drop();
    std::map<std::string, Bytes> copies;
    for (const std::string& name : journal_files()) copies[name] = content(options.directory + "/" + name);
    options.directory = "/other";
    ASSERT_TRUE(files.make_directories(options.directory).has_value());
    for (const auto& [name, data] : copies) write_file(options.directory + "/" + name, data);
    ASSERT_FALSE(files.pending().empty());
    ASSERT_GT(files.pending_directory_operations(), 0u);
    ASSERT_TRUE(try_start().has_value());
    expect_frames(kOne, 3);
    EXPECT_EQ(files.pending_directory_operations(), 0u);
    for (const auto& sector : files.pending()) EXPECT_NE(sector.file, path(1)) << sector.sector;
}

TEST_F(JournalDamage, ErrorsOfTheDeviceAreNotTakenForTheEnd) {
    start();
    fill({100, 200});
    drop();
    files.set_broken(path(1), true);
    EXPECT_THAT(refusal(Errc::kIo), HasSubstr(path(1)));
    files.set_broken(path(1), false);
    start();
    expect_frames(kOne, 2);
}

TEST_F(JournalDamage, TheVisitorsErrorEndsRecovery) {
    start();
    fill({100});
    drop();
    struct Refusing final : RecoveryVisitor {
        Result<> frame(ContainerId, const Appended&, bytes::ByteSpan) override {
            return fail(Errc::kCorrupt, "not mine");
        }
    } refusing;
    LocalJournal again(files, executor, options);
    auto result = again.recover(refusing);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().message(), "not mine");
}

}  // namespace
}  // namespace millrace::wal::local
