// Records of retention and of writers' times.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "controller/records/retention_records.h"
#include "controller/records/watermark_record.h"
#include "controller/records/writer_record.h"

namespace millrace::controller {
namespace {

std::string hex(std::string_view bytes) {
    std::string text;
    for (unsigned char c : bytes) text += fmt::format("{:02x}", c);
    return text;
}

const StreamName kX{"s", "x"};

SampleRecord sample() { return {1'700'000'000'000, 5000, 113, {{segment_id(0, 0), 10}, {segment_id(1, 0), 7}}}; }

WriterRecord writer() { return {-5, false, {{segment_id(0, 0), 10}}}; }

WatermarkRecord watermark() {
    WatermarkRecord record;
    record.segment = segment_id(3, 0);
    record.offset = 226;
    record.watermark = {1000, 2000, {{{segment_id(0, 0), 0, 0.5}, 10}, {{segment_id(1, 0), 0.5, 1}, 0}}};
    return record;
}

// Comes back as it was; and nothing else than exactly these bytes is taken.
template <typename Record>
void check(const Record& record, const char* golden) {
    std::string bytes = record.encode();
    EXPECT_EQ(hex(bytes), golden) << "version 1 has to be read for ever";
    auto decoded = Record::decode(bytes);
    ASSERT_TRUE(decoded) << decoded.error().to_string();
    EXPECT_EQ(decoded->encode(), bytes);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_EQ(Record::decode(std::string_view(bytes).substr(0, size)).error(), Errc::kCorrupt);
    }
    EXPECT_EQ(Record::decode(bytes + '\0').error(), Errc::kCorrupt);
    std::string newer = bytes;
    newer[0] = 2;
    EXPECT_EQ(Record::decode(newer).error(), Errc::kNewerFormat);
    for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
        std::string damaged = bytes;
        damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ (1 << i % 8));
        auto answer = Record::decode(damaged);
        if (answer) EXPECT_EQ(answer->encode(), damaged);
    }
}

TEST(TimeRecords, Sample) {
    check(
        sample(),
        "010068e5cf8b010000881300000000000071000000000000000200000000000000000000000a0000000000000001000000000000000700"
        "000000000000");
    EXPECT_EQ(SampleRecord::decode(sample().encode())->cut, sample().cut);
    EXPECT_EQ(SampleRecord::key(kX, 255), "sample/s/x/00000000000000ff");
    SampleRecord odd = sample();
    odd.bytes = -1;
    EXPECT_EQ(SampleRecord::decode(odd.encode()).error(), Errc::kCorrupt);
}

TEST(TimeRecords, Writer) {
    check(writer(), "01fbffffffffffffff000100000000000000000000000a00000000000000");
    EXPECT_EQ(*WriterRecord::decode(writer().encode()), writer());
    EXPECT_EQ(WriterRecord::key(kX, "a/b%"), "writer/s/x/a%2fb%25");
    EXPECT_EQ(*WriterRecord::stream_of("writer/s/x/a%2fb%25"), kX);
    for (const char* bad : {"writer/s/x", "writer/", "writer//x/w", "other/s/x/w", ""}) {
        EXPECT_EQ(WriterRecord::stream_of(bad).error(), Errc::kCorrupt) << bad;
    }
}

TEST(TimeRecords, Watermark) {
    check(watermark(),
          "010300000000000000e200000000000000e803000000000000d007000000000000020000000000000000000000000000000000000000"
          "0000000000e03f0a000000000000000100000000000000000000000000e03f000000000000f03f0000000000000000");
    EXPECT_EQ(WatermarkRecord::key(kX), "watermark/s/x");
    auto refused = [](auto change) {
        WatermarkRecord record = watermark();
        change(record);
        return WatermarkRecord::decode(record.encode()).error() == Errc::kCorrupt;
    };
    EXPECT_TRUE(refused([](WatermarkRecord& r) { r.watermark.cut.clear(); }));
    EXPECT_TRUE(refused([](WatermarkRecord& r) { r.watermark.upper = 999; }));
    EXPECT_TRUE(refused([](WatermarkRecord& r) { r.watermark.cut[1].segment.max_key = 1.5; }));
    EXPECT_TRUE(refused([](WatermarkRecord& r) { r.watermark.cut[1].segment.max_key = 0.5; }));
    EXPECT_TRUE(refused([](WatermarkRecord& r) { std::swap(r.watermark.cut[0], r.watermark.cut[1]); }));
    EXPECT_TRUE(refused([](WatermarkRecord& r) { r.offset = -1; }));
}

TEST(TimeRecords, Retained) {
    EXPECT_EQ(RetainedEntry::key(kX), "retained/s/x");
    EXPECT_EQ(*RetainedEntry::parse("retained/s/x"), kX);
    for (const char* bad : {"retained/s", "retained/", "s/x", "retained/s/x/y", ""}) {
        EXPECT_EQ(RetainedEntry::parse(bad).error(), Errc::kCorrupt) << bad;
    }
}

}  // namespace
}  // namespace millrace::controller
