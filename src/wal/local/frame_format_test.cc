#include "wal/local/frame_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/units.h"
#include "wal/wal_test_support.h"

namespace millrace::wal::local {
namespace {

using testing::HasSubstr;

constexpr Uuid kJournal{0x0123456789abcdef, 0xfedcba9876543210};

std::string hex(bytes::ByteSpan data) {
    std::string text;
    for (std::uint8_t byte : data) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

FrameHeader sample() {
    FrameHeader header;
    header.generation = Generation(3);
    header.number = FrameNumber(100);
    header.sequence = 17;
    header.first_kept = 5;
    header.container = ContainerId(2);
    header.payload_size = 1000;
    header.payload_crc = 0xaabbccdd;
    header.chain = 0x11223344;
    header.behind = 4;
    header.epoch = 2;
    return header;
}

TEST(FrameFormat, FileHeaderIsAsWrittenDown) {
    Bytes page(kFileHeaderSize, 0xff);
    encode(FileHeader{kJournal, Generation(0x42), 64 * kMiB}, page);
    EXPECT_EQ(hex({page.data(), 56}),
              "4d494c4c4a524e4c"
              "01000000"
              "da741fa0"
              "efcdab8967452301"
              "1032547698badcfe"
              "4200000000000000"
              "0000000400000000"
              "0000000000000000");
    auto header = decode_file_header(page);
    ASSERT_TRUE(header.has_value());
    EXPECT_EQ(header->journal, kJournal);
    EXPECT_EQ(header->generation, Generation(0x42));
    EXPECT_EQ(header->file_bytes, 64 * kMiB);
}

TEST(FrameFormat, EveryFlippedBitOfAFileHeaderIsSeen) {
    Bytes page(kFileHeaderSize);
    encode(FileHeader{kJournal, Generation(1), kMiB}, page);
    for (std::size_t bit = 0; bit < kFileHeaderSize * 8; ++bit) {
        Bytes flipped = page;
        flipped[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
        ASSERT_FALSE(decode_file_header(flipped).has_value()) << bit;
    }
    EXPECT_FALSE(decode_file_header({page.data(), 100}).has_value());
}

TEST(FrameFormat, ANewerFileHeaderIsCalledNewer) {
    Bytes page(kFileHeaderSize);
    encode(FileHeader{kJournal, Generation(1), kMiB}, page);
    page[8] = 2;  // the rest of the page may mean anything there
    auto header = decode_file_header(page);
    ASSERT_FALSE(header.has_value());
    EXPECT_EQ(header.error().code(), Errc::kNewerFormat);
    EXPECT_THAT(header.error().message(), HasSubstr("version 2"));
}

TEST(FrameFormat, FrameHeaderIsAsWrittenDown) {
    Bytes at(kFrameHeaderSize, 0xff);
    std::uint32_t crc = encode(sample(), kJournal, 8192, at.data());
    EXPECT_EQ(hex(at),
              "4d4c5246"
              "fa03b449"
              "0300000000000000"
              "6400000000000000"
              "1100000000000000"
              "0500000000000000"
              "02000000"
              "e8030000"
              "ddccbbaa"
              "44332211"
              "04000000"
              "02000000");
    auto decoded = decode_frame_header(at, kJournal, Generation(3), 8192);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->crc, crc);
    EXPECT_EQ(decoded->header.durable(), FrameNumber(96));
    EXPECT_EQ(decoded->header.sequence, 17u);
    EXPECT_EQ(decoded->header.payload_crc, 0xaabbccddu);
    EXPECT_EQ(decoded->header.epoch, 2u);
}

TEST(FrameFormat, AFrameHeaderIsValidAtItsPlaceOnly) {
    Bytes at(kFrameHeaderSize);
    encode(sample(), kJournal, 8192, at.data());
    EXPECT_FALSE(decode_frame_header(at, kJournal, Generation(3), 12288));
    EXPECT_FALSE(decode_frame_header(at, kJournal, Generation(4), 8192));
    EXPECT_FALSE(decode_frame_header(at, Uuid{1, 2}, Generation(3), 8192));
    EXPECT_FALSE(decode_frame_header({at.data(), 63}, kJournal, Generation(3), 8192));
    for (std::size_t bit = 0; bit < kFrameHeaderSize * 8; ++bit) {
        Bytes flipped = at;
        flipped[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
        ASSERT_FALSE(decode_frame_header(flipped, kJournal, Generation(3), 8192)) << bit;
    }
}

TEST(FrameFormat, ContradictingFieldsMakeNoHeader) {
    auto decodes = [](auto change) {
        FrameHeader header = sample();
        change(header);
        Bytes at(kFrameHeaderSize);
        encode(header, kJournal, 8192, at.data());
        return decode_frame_header(at, kJournal, Generation(3), 8192).has_value();
    };
    EXPECT_TRUE(decodes([](FrameHeader&) {}));
    EXPECT_FALSE(decodes([](FrameHeader& h) { h.number = FrameNumber(0); }));
    EXPECT_FALSE(decodes([](FrameHeader& h) { h.number = FrameNumber(UINT64_MAX); }));
    EXPECT_FALSE(decodes([](FrameHeader& h) { h.behind = 0; }));
    EXPECT_FALSE(decodes([](FrameHeader& h) { h.behind = 101; }));
    EXPECT_FALSE(decodes([](FrameHeader& h) { h.sequence = 0; }));
    EXPECT_FALSE(decodes([](FrameHeader& h) { h.first_kept = 18; }));
    EXPECT_FALSE(decodes([](FrameHeader& h) { h.payload_size = kMaxPayload + 1; }));
    EXPECT_FALSE(decodes([](FrameHeader& h) { h.epoch = 0; }));
    EXPECT_FALSE(decodes([](FrameHeader& h) {
        h.container = kMarkerContainer;
        h.sequence = 6;
        h.first_kept = 0;
    }));
}

TEST(FrameFormat, TablesOfContainersAreChecked) {
    std::vector<ContainerEntry> entries = {{ContainerId(1), LogSequence(7), LogSequence(3)},
                                           {ContainerId(9), LogSequence(1), LogSequence(1)}};
    Bytes payload(table_payload_size(2));
    encode_table(entries, payload.data());
    EXPECT_EQ(hex(payload),
              "0200000000000000"
              "0100000000000000"
              "0700000000000000"
              "0300000000000000"
              "0900000000000000"
              "0100000000000000"
              "0100000000000000");
    auto decoded = decode_table(payload);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ((*decoded)[0].next, LogSequence(7));
    EXPECT_EQ((*decoded)[1].container, ContainerId(9));
    EXPECT_FALSE(decode_table({payload.data(), payload.size() - 1}));
    EXPECT_FALSE(decode_table({payload.data(), 4}));
    std::swap(entries[0], entries[1]);
    encode_table(entries, payload.data());
    EXPECT_FALSE(decode_table(payload)) << "ids must rise";
    entries = {{ContainerId(1), LogSequence(7), LogSequence(8)}, {ContainerId(2), LogSequence(1), LogSequence(1)}};
    encode_table(entries, payload.data());
    EXPECT_FALSE(decode_table(payload)) << "nothing is kept from the future";
    Bytes huge(8, 0xff);
    EXPECT_FALSE(decode_table(huge));
}

TEST(FrameFormat, NamesOfFiles) {
    EXPECT_EQ(file_name(Generation(0x2a)), "000000000000002a.journal");
    EXPECT_EQ(parse_file_name("000000000000002a.journal"), Generation(0x2a));
    EXPECT_FALSE(parse_file_name("000000000000002A.journal"));
    EXPECT_FALSE(parse_file_name("0000000000000000.journal"));
    EXPECT_FALSE(parse_file_name("2a.journal"));
    EXPECT_FALSE(parse_file_name("000000000000002a.journa1"));
    EXPECT_FALSE(parse_file_name("next.tmp"));
}

}  // namespace
}  // namespace millrace::wal::local
