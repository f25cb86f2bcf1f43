// The clients' own bytes, made by the Java client's serializers.
#include "controller/online_readers.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bytes/binary.h"
#include "controller/controller_harness.h"

namespace millrace::controller {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kInit =  // scope/stream, no readers
    "0000000300000000b4808f000003000000003000000000000075300000000000000bb801000c73636f70652f73747265616d"
    "0001000c73636f70652f73747265616d00010000003400000000000075300000000000000bb801000c73636f70652f737472"
    "65616d0001000c73636f70652f73747265616d0000000003020000001900000000000000000000112233445566778899aabb"
    "ccddeeff01001773636f70652f73747265616d2f302e2365706f63682e30000000000000000000010000003201001773636f"
    "70652f73747265616d2f302e2365706f63682e30bff0000000000000bff00000000000000000000000000000020000000100";
constexpr std::string_view kCompact =  // reader1 online
    "000100030000000142808f000003000000003000000000000075300000000000000bb801000c73636f70652f73747265616d"
    "0001000c73636f70652f73747265616d00010000003400000000000075300000000000000bb801000c73636f70652f737472"
    "65616d0001000c73636f70652f73747265616d0000000003020000001900000000000000000000112233445566778899aabb"
    "ccddeeff4d000002000000003f0100036370310100036370310100077265616465723101000363703101001773636f70652f"
    "73747265616d2f302e2365706f63682e30000000000000008000010000000101010007726561646572310000000000007530"
    "01001773636f70652f73747265616d2f312e2365706f63682e31010000000000000000010007726561646572310100177363"
    "6f70652f73747265616d2f302e2365706f63682e3000000000000000640000010000007501001773636f70652f7374726561"
    "6d2f302e2365706f63682e30000000000000006402001773636f70652f73747265616d2f312e2365706f63682e3100000000"
    "000000003ff0000000000000001773636f70652f73747265616d2f302e2365706f63682e30bff0000000000000bff0000000"
    "000000020000000100";
constexpr std::string_view kAdd =  // reader1
    "000200010000000009000772656164657231";
constexpr std::string_view kAddAsEvent =  // the same, as it lies in the stream
    "000000000000001a0000000200000012000200010000000009000772656164657231";
constexpr std::string_view kRemove =  // reader1
    "00030001000000002b00077265616465723101001773636f70652f73747265616d2f302e2365706f63682e30000000000000"
    "0064";
constexpr std::string_view kRelease =  // reader1
    "00040001000000002a000772656164657231001773636f70652f73747265616d2f302e2365706f63682e3000000000000000"
    "64";
constexpr std::string_view kAcquire =  // reader1
    "000500010000000022000772656164657231001773636f70652f73747265616d2f302e2365706f63682e30";
constexpr std::string_view kDistance =  // reader1
    "0006000200000000110007726561646572310000000000000000010000003201001773636f70652f73747265616d2f302e23"
    "65706f63682e30bff0000000000000bff00000000000000000000000000064";
constexpr std::string_view kAcquireAndDistance =  // a record of two
    "000000020000002b000500010000000022000772656164657231001773636f70652f73747265616d2f302e2365706f63682e"
    "30000000510006000200000000110007726561646572310000000000000000010000003201001773636f70652f7374726561"
    "6d2f302e2365706f63682e30bff0000000000000bff00000000000000000000000000064";
constexpr std::string_view kCompleted =  // a segment
    "000700020000000045000772656164657231001773636f70652f73747265616d2f302e2365706f63682e3001001773636f70"
    "652f73747265616d2f312e2365706f63682e31010000000000000000010000005302001773636f70652f73747265616d2f30"
    "2e2365706f63682e30bff0000000000000bff0000000000000001773636f70652f73747265616d2f312e2365706f63682e31"
    "00000000000000003ff0000000000000";
constexpr std::string_view kCheckpointReader =  // cp1
    "000800010000000030000363703100077265616465723101001773636f70652f73747265616d2f302e2365706f63682e3000"
    "00000000000064";
constexpr std::string_view kCreateCheckpoint =  // cp1
    "0009000100000000050003637031";
constexpr std::string_view kAutomaticCheckpoint =  // a record of two
    "000000020000000e00090001000000000500036370310000000e000a000100000000050003637031";
constexpr std::string_view kPublished =  // true
    "000b0001000000000101";
constexpr std::string_view kUpdating =  // true
    "000c0001000000000101";
constexpr std::string_view kRemoveCheckpoints =  // outstanding ones
    "000d00010000000000";

std::string unhex(std::string_view hex) {
    std::string bytes;
    auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1])));
    return bytes;
}

std::string number(std::uint32_t value) {
    std::string bytes(4, 0);
    bytes::store_be(reinterpret_cast<std::uint8_t*>(bytes.data()), value);
    return bytes;
}

std::string event(std::string_view record) {
    return number(0) + number(static_cast<std::uint32_t>(record.size())) + std::string(record);
}

std::string initial(std::string_view hex) { return event(number(1) + unhex(hex)); }

std::string updates(std::vector<std::string> all) {
    std::string record = number(2);
    for (const std::string& update : all) record += number(static_cast<std::uint32_t>(update.size())) + update;
    return event(record);
}

std::string of_reader(char type, std::string_view id) {  // in modified UTF-8
    std::string fields{static_cast<char>(id.size() >> 8), static_cast<char>(id.size())};
    fields += id;
    if (type == 3) fields += '\0';  // it owned nothing
    std::string update{0, type, 0, 1, 0};
    return update + number(static_cast<std::uint32_t>(fields.size())) + fields;
}
std::string add(std::string_view id) { return of_reader(2, id); }
std::string removal(std::string_view id) { return of_reader(3, id); }

Result<std::set<std::string>> readers_in(std::string_view stream, std::size_t piece = 1 << 20) {
    OnlineReaders readers;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
        auto added = readers.add(bytes::as_bytes(stream.substr(at, piece)));
        if (!added) return fail(added.error());
    }
    auto whole = readers.finish();
    if (!whole) return fail(whole.error());
    return readers.ids();
}

TEST(OnlineReaders, ComeAndGo) {
    EXPECT_THAT(*readers_in(""), IsEmpty());
    EXPECT_THAT(*readers_in(initial(kInit)), IsEmpty());
    std::string stream = initial(kInit) + unhex(kAddAsEvent);
    EXPECT_THAT(*readers_in(stream), ElementsAre("reader1"));
    stream += updates({add("b"), add("a"), unhex(kDistance)});
    EXPECT_THAT(*readers_in(stream), ElementsAre("a", "b", "reader1"));
    stream += updates({unhex(kRemove), removal("nobody")});
    EXPECT_THAT(*readers_in(stream), ElementsAre("a", "b"));
    EXPECT_THAT(*readers_in(stream + initial(kInit)), IsEmpty());
}

TEST(OnlineReaders, OfACompactedState) {
    EXPECT_THAT(*readers_in(initial(kCompact)), ElementsAre("reader1"));
    EXPECT_THAT(*readers_in(initial(kInit) + updates({add("a")}) + initial(kCompact)), ElementsAre("reader1"));
    EXPECT_THAT(*readers_in(initial(kCompact) + updates({unhex(kRemove)})), IsEmpty());
}

TEST(OnlineReaders, AResetIsAnUpdate) {
    EXPECT_THAT(*readers_in(initial(kInit) + updates({add("a")}) + updates({unhex(kInit), add("b")})),
                ElementsAre("b"));
}

TEST(OnlineReaders, WhatMovesNobody) {
    std::string stream = initial(kInit) + updates({unhex(kAdd)});
    for (auto record : {kAcquireAndDistance, kAutomaticCheckpoint}) stream += event(unhex(record));
    for (auto update : {kRelease, kAcquire, kDistance, kCompleted, kCheckpointReader, kCreateCheckpoint, kPublished,
                        kUpdating, kRemoveCheckpoints}) {
        stream += updates({unhex(update)});
    }
    EXPECT_THAT(*readers_in(stream), ElementsAre("reader1"));
}

TEST(OnlineReaders, BytesComeInAnyPieces) {
    std::string stream = initial(kCompact) + updates({add("a"), unhex(kRemove)}) + updates({add("b")});
    for (std::size_t piece : {1, 2, 3, 7, 8, 9, 64, 500})
        EXPECT_THAT(*readers_in(stream, piece), ElementsAre("a", "b"));
}

TEST(OnlineReaders, IdsAreUtf8) {
    // U+0000, U+00E9, U+4F60, U+1F600 as two surrogates, and half a pair.
    std::string id = unhex("61c080c3a9e4bda0eda0bdedb880");
    EXPECT_THAT(*readers_in(initial(kInit) + updates({add(id)})),
                ElementsAre(std::string("a\0\u00e9\u4f60\U0001F600", 11)));
    EXPECT_THAT(*readers_in(initial(kInit) + updates({add(unhex("eda0bd61")), add(unhex("edb880"))})),
                ElementsAre("\uFFFD", "\uFFFDa"));
}

TEST(OnlineReaders, WhatIsNotTheClients) {
    struct Case {
        std::string stream;
        const char* says;
    };
    std::string good = initial(kInit);
    std::vector<Case> cases{
        {updates({add("a")}), "update of nothing"},
        {good + number(7) + number(0), "event of type 7"},
        {good + number(0) + number(20 << 20), "event of 20971520 bytes"},
        {good + event(""), "without its kind"},
        {good + event(number(3)), "record of kind 3"},
        {good + event(number(2) + number(100) + add("a")), "longer than its record"},
        {good + updates({""}), "cut off"},
        {good + updates({std::string("\1\2\0\1", 4)}), "format 1"},
        {good + updates({std::string("\0\16\0\1", 4)}), "type 14"},
        {good + updates({std::string("\0\2\1\1", 4)}), "version 1"},
        {good + event(number(1) + add("a")), "type 2"},
        {good + updates({std::string("\0\2\0\0", 4)}), "without its first revision"},
        {good + updates({add("abc").substr(0, 11)}), "without its first revision"},
        {good + updates({of_reader(2, "").replace(9, 2, "\377\377")}), "type 2 that is cut off"},
        {good + updates({add("\xff")}), "type 2 that is cut off"},
        {good + updates({add("\xc3")}), "type 2 that is cut off"},
        {good + updates({add("a")}).substr(0, 9), "ends within a record"},
    };
    for (const Case& c : cases) {
        auto readers = readers_in(c.stream);
        ASSERT_FALSE(readers) << c.says;
        EXPECT_EQ(readers.error(), Errc::kCorrupt) << c.says;
        EXPECT_THAT(readers.error().message(), HasSubstr(c.says));
        if (c.stream.starts_with(good))
            EXPECT_THAT(readers.error().message(), HasSubstr(fmt::format("at {}", good.size())));
    }
    // Cut anywhere, the compacted state is refused, and counts of what is not there cost nothing.
    std::string compact = unhex(kCompact);
    std::size_t first_revision = 9 + 0x142;
    for (std::size_t size = 0; size < first_revision; ++size) {
        EXPECT_EQ(readers_in(event(number(1) + compact.substr(0, size))).error(), Errc::kCorrupt) << size;
    }
    std::string counts = number(1) + std::string("\0\1\0\1\0", 5) + number(6) + std::string("\0\0\377\377\377\377", 6);
    EXPECT_EQ(readers_in(event(counts)).error(), Errc::kCorrupt);
}

TEST(OnlineReaders, NotWithoutEnd) {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < OnlineReaders::kMaxReaders; ++i) all.push_back(add(fmt::format("r{}", i)));
    std::string stream = initial(kInit) + updates(all);
    EXPECT_EQ(readers_in(stream)->size(), OnlineReaders::kMaxReaders);
    EXPECT_EQ(readers_in(stream + updates({add("one more")})).error(), Errc::kLimit);
}

// ---- through the controller ----

const StreamName kStream{"scope", "stream"};

struct GroupReaders : testing::Test {
    GroupReaders() {
        h.create_scope("scope").value();
        h.create(kStream, fixed(1)).value();
        h.create_group("scope", "group", group_over({kStream}, ReaderGroupRetention::kNone)).value();
    }
    FakeSegmentApi::Segment& segment() { return h.api.segments.at("scope/_RGgroup/0.#epoch.0"); }
    void write(const std::string& bytes) {
        segment().bytes += bytes;
        segment().length = static_cast<std::int64_t>(segment().bytes.size());
    }
    Result<std::vector<std::string>> readers(std::string group = "group") {
        return h.call<std::vector<std::string>>(
            [&](auto done) { h.controller->online_readers("scope", group, std::move(done)); });
    }

    Harness h;
};

TEST_F(GroupReaders, AreReadFromItsStream) {
    EXPECT_THAT(*readers(), IsEmpty());
    write(initial(kInit) + updates({add("b"), add("a")}));
    EXPECT_THAT(*readers(), ElementsAre("a", "b"));
    EXPECT_THAT(*readers("other"), IsEmpty());
    h.restart();
    EXPECT_THAT(*readers(), ElementsAre("a", "b"));
    h.delete_group("scope", "group").value();
    EXPECT_THAT(*readers(), IsEmpty());
}

TEST_F(GroupReaders, AStateOfSeveralPieces) {
    std::vector<std::string> all;
    for (int i = 0; i < 50'000; ++i) all.push_back(add(fmt::format("reader-with-a-long-name-{:06}", i)));
    write(initial(kInit) + updates(all) + updates({removal("reader-with-a-long-name-000007")}));
    ASSERT_GT(segment().length, 2 << 20);
    EXPECT_EQ(readers()->size(), 49'999U);
}

TEST_F(GroupReaders, CompactedWhileTheyAreRead) {
    write(initial(kInit) + updates({add("a")}));
    int reads = 0;
    h.api.on_read = [&](FakeSegmentApi::Segment& read) {
        if (++reads > 1) return;
        read.start = read.length;
        write(initial(kCompact));
    };
    EXPECT_THAT(*readers(), ElementsAre("reader1"));
    EXPECT_EQ(reads, 2);
    h.api.on_read = [&](FakeSegmentApi::Segment& read) {
        read.start = read.length;
        write(initial(kCompact));
    };
    EXPECT_EQ(readers().error(), Errc::kUnavailable);
}

TEST_F(GroupReaders, WhatStandsThereInstead) {
    write("any bytes at all");
    auto refused = readers();
    EXPECT_EQ(refused.error(), Errc::kCorrupt);
    EXPECT_THAT(refused.error().message(), HasSubstr("reader group scope/group"));
    segment().length = 65 << 20;
    std::size_t reads = h.api.reads();
    EXPECT_EQ(readers().error(), Errc::kLimit);
    EXPECT_LT(h.api.reads() - reads, 10U);
}

}  // namespace
}  // namespace millrace::controller
