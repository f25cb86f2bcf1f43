#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "container/state/all_records.h"
#include "container/state/state_batch.h"

namespace millrace::container::state {
namespace {

std::string hex(std::string_view bytes) {
    std::string text;
    for (unsigned char c : bytes) text += fmt::format("{:02x}", c);
    return text;
}

template <typename Record>
std::string key_of(const Record& record) {
    return build_key([&](bytes::Writer& out) { record.encode_key(out); });
}
template <typename Record>
std::string value_of(const Record& record) {
    return build_key([&](bytes::Writer& out) { record.encode_value(out); });
}

// What a decoder takes is what it would write.
template <typename Record>
void check_canonical(std::string_view key, std::string_view value) {
    auto answer = Record::decode(key, value);
    if (!answer) return;
    EXPECT_EQ(key_of(*answer), key);
    EXPECT_EQ(value_of(*answer), value);
}

// Comes back as it was, stands in the disk as it always has, and nothing cut short or damaged is taken for it.
// `open_value`, `open_key`: the last field goes on to the end, so that a cut may leave a sound record.
struct Open {
    bool key = false;
    bool value = false;
};
template <typename Record>
void check(const Record& record, std::string_view golden_key, std::string_view golden_value, Open open = {}) {
    std::string key = key_of(record);
    std::string value = value_of(record);
    EXPECT_EQ(hex(key), golden_key);
    EXPECT_EQ(hex(value), golden_value);
    auto decoded = Record::decode(key, value);
    ASSERT_TRUE(decoded) << decoded.error().to_string();
    EXPECT_EQ(*decoded, record);
    auto check_cut = [&](std::string_view cut_key, std::string_view cut_value, bool may_be_sound) {
        auto cut = Record::decode(cut_key, cut_value);
        if (may_be_sound && cut) return check_canonical<Record>(cut_key, cut_value);
        ASSERT_FALSE(cut) << hex(cut_key) << " " << hex(cut_value);
        EXPECT_EQ(cut.error(), Errc::kCorrupt);
    };
    for (std::size_t n = 0; n < key.size(); ++n) check_cut(std::string_view(key).substr(0, n), value, open.key);
    for (std::size_t n = 0; n < value.size(); ++n) check_cut(key, std::string_view(value).substr(0, n), open.value);
    check_cut(key + '\0', value, open.key);
    check_cut(key, value + '\0', open.value);
    std::string newer = value;
    newer[0] = 2;
    EXPECT_EQ(Record::decode(key, newer).error(), Errc::kNewerFormat);
    newer[0] = 0;
    EXPECT_EQ(Record::decode(key, newer).error(), Errc::kCorrupt);
    for (std::size_t bit = 0; bit < (key.size() + value.size()) * 8; ++bit) {
        std::string damaged = key + value;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
        check_canonical<Record>(damaged.substr(0, key.size()), damaged.substr(key.size()));
    }
}

TEST(StateRecords, WhatTheStoreSaysOfItself) {
    check(IdentityRecord{1, ContainerId(3)}, "01", "010100000003000000");
    check(AppliedRecord{LogSequence(0x0102030405060708)}, "02", "010807060504030201");
    std::string later = value_of(IdentityRecord{2, ContainerId(3)});
    EXPECT_EQ(IdentityRecord::decode(IdentityRecord::key(), later).error(), Errc::kNewerFormat);
}

TEST(StateRecords, Counters) {
    check(CountersRecord{7, 8, 9, 10, 11}, "43",
          "010700000000000000080000000000000009000000000000000a000000000000000b00000000000000");
}

SegmentRecord segment() {
    SegmentRecord record;
    record.id = SegmentId(5);
    record.name = "s/t/0";
    record.sealed = true;
    record.table = TableKind::kSorted;
    record.key_length = 16;
    record.length = 1000;
    record.start = 10;
    record.table_entries = 3;
    record.created_ms = 1'700'000'000'000;
    record.last_modified_ms = -1;
    record.core = {{1, 44}, {9, -1}};
    return record;
}

TEST(StateRecords, Segment) {
    check(segment(), "530000000000000005",
          "01020200"
          "10000000"
          "e803000000000000"
          "0a00000000000000"
          "0300000000000000"
          "0068e5cf8b010000"
          "ffffffffffffffff"
          "05000000732f742f30"
          "02"
          "012c00000000000000"
          "09ffffffffffffffff");
    SegmentRecord plain;
    plain.id = SegmentId(1);
    plain.name = "x";
    plain.transient = true;
    check(plain, "530000000000000001",
          "0101000000000000"
          "0000000000000000"
          "0000000000000000"
          "0000000000000000"
          "0000000000000000"
          "0000000000000000"
          "0100000078"
          "00");
    EXPECT_EQ(SegmentRecord::key(SegmentId(5)), key_of(segment()));
}

TEST(StateRecords, SegmentThatCannotBe) {
    std::string key = key_of(segment());
    std::string value = value_of(segment());
    auto with = [&](std::size_t at, char byte) {
        std::string changed = value;
        changed[at] = byte;
        return SegmentRecord::decode(key, changed);
    };
    EXPECT_TRUE(with(9, 0)) << "another length, above the start";
    EXPECT_EQ(with(17, 9).error(), Errc::kCorrupt) << "it starts behind its end";
    EXPECT_EQ(with(15, '\x80').error(), Errc::kCorrupt) << "a length of 2^63";
    EXPECT_EQ(with(4, 0).error(), Errc::kCorrupt) << "a sorted table without a key length";
    EXPECT_EQ(with(2, 1).error(), Errc::kCorrupt) << "a hash table with a key length";
    EXPECT_EQ(with(2, 3).error(), Errc::kCorrupt) << "another kind of table";
    std::size_t first_core = value.size() - 18;
    EXPECT_EQ(with(first_core, 9).error(), Errc::kCorrupt) << "core attributes in another order";
    EXPECT_EQ(with(first_core + 9, 64).error(), Errc::kCorrupt) << "a core attribute above the last";
    EXPECT_EQ(with(first_core - 1, 65).error(), Errc::kCorrupt);
}

TEST(StateRecords, Name) {
    check(NameRecord{"s/t", SegmentId(9)}, "4e732f74", "010900000000000000", {.key = true});
    std::string value = value_of(NameRecord{"n", SegmentId(9)});
    EXPECT_TRUE(NameRecord::decode(NameRecord::key(std::string(kNameLimit, 'n')), value));
    EXPECT_EQ(NameRecord::decode(NameRecord::key(std::string(kNameLimit + 1, 'n')), value).error(), Errc::kCorrupt);
    EXPECT_EQ(NameRecord::decode(NameRecord::key(""), value).error(), Errc::kCorrupt);
}

TEST(StateRecords, Attribute) {
    check(AttributeRecord{SegmentId(2), {0x1122334455667788, 0x99}, -2},
          "410000000000000002"
          "1122334455667788"
          "0000000000000099",
          "01feffffffffffffff");
    check(AttributeRecord{SegmentId(2), core_attribute(64), 0}, "41000000000000000280000000000000000000000000000040",
          "010000000000000000");
    std::string value = value_of(AttributeRecord{SegmentId(2), {1, 1}, 5});
    EXPECT_EQ(AttributeRecord::decode(AttributeRecord::key(SegmentId(2), kEventCount), value).error(), Errc::kCorrupt)
        << "it belongs into the segment's record";
    EXPECT_EQ(AttributeRecord::decode(AttributeRecord::key(SegmentId(0), {1, 1}), value).error(), Errc::kCorrupt);
}

TEST(StateRecords, Doomed) { check(DoomedRecord{SegmentId(2)}, "440000000000000002", "01"); }

TEST(StateRecords, Transient) {
    check(TransientRecord{SegmentId(2), "t"}, "450000000000000002", "0174", {.value = true});
}

TEST(StateRecords, Manifest) {
    check(ManifestRecord{SegmentId(2), 0x100, 0x200, ObjectId(7), 0x40, ObjectKind::kPack},
          "4d00000000000000020000000000000100",
          "010002000000000000"
          "0700000000000000"
          "4000000000000000"
          "02");
}

TEST(StateRecords, Object) {
    check(ObjectRecord{ObjectId(7), ObjectKind::kChunk, ObjectState::kLive, 100, 60, "c/7"}, "4f0000000000000007",
          "010102"
          "6400000000000000"
          "3c00000000000000"
          "03000000632f37");
    check(ObjectRecord{ObjectId(8), ObjectKind::kPack, ObjectState::kDoomed, 100, 0, "p"}, "4f0000000000000008",
          "010203"
          "6400000000000000"
          "0000000000000000"
          "0100000070");
}

TEST(StateRecords, TableEntry) {
    check(TableEntryRecord{SegmentId(2), "key", 300, "value"}, "5400000000000000026b6579",
          "012c0100000000000076616c7565", {.key = true, .value = true});
    TableEntryRecord largest{SegmentId(2), std::string(kTableKeyLimit, 'k'), 0,
                             std::string(kTableEntryLimit - kTableKeyLimit, 'v')};
    EXPECT_TRUE(TableEntryRecord::decode(key_of(largest), value_of(largest)));
    EXPECT_EQ(TableEntryRecord::decode(key_of(largest), value_of(largest) + 'v').error(), Errc::kCorrupt);
    EXPECT_EQ(TableEntryRecord::decode(key_of(largest) + 'k', value_of(largest)).error(), Errc::kCorrupt);
    EXPECT_EQ(TableEntryRecord::decode(TableEntryRecord::key(SegmentId(2), ""), value_of(largest)).error(),
              Errc::kCorrupt);
}

TEST(StateRecords, TableVersion) {
    check(TableVersionRecord{SegmentId(2), 300, "key"}, "560000000000000002000000000000012c", "016b6579",
          {.value = true});
}

TEST(StateRecords, InternalEntry) {
    check(InternalEntryRecord{"meta", "k", 5, "v"}, "4900046d6574616b", "01050000000000000076",
          {.key = true, .value = true});
    check(InternalEntryRecord{"meta", "", 5, ""}, "4900046d657461", "010500000000000000", {.key = true, .value = true});
}

TEST(StateRecords, MergedName) {
    check(MergedNameRecord{12, "s/t/0#transaction"}, "47000000000000000c", "01732f742f30237472616e73616374696f6e",
          {.value = true});
}

TEST(StateRecords, KindsAreDistinct) {
    std::set<int> kinds;
    int types = 0;
    for_each_record_type([&]<typename Record>() {
        kinds.insert(static_cast<int>(Record::kKind));
        ++types;
    });
    EXPECT_EQ(kinds.size(), static_cast<std::size_t>(types));
    EXPECT_EQ(types, 14);
}

TEST(StateRecords, OrderOfKeysIsOrderOfFields) {
    std::vector<std::string> keys = {
        ManifestRecord::key(SegmentId(1), 0),          ManifestRecord::key(SegmentId(1), 255),
        ManifestRecord::key(SegmentId(1), 256),        ManifestRecord::key(SegmentId(1), kOffsetLimit - 1),
        ManifestRecord::key(SegmentId(2), 0),          ManifestRecord::key(SegmentId(256), 0),
        ManifestRecord::key(SegmentId(1ULL << 40), 7),
    };
    EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
    EXPECT_LT(TableVersionRecord::key(SegmentId(1), 255), TableVersionRecord::key(SegmentId(1), 256));
    EXPECT_LT(InternalEntryRecord::key("b", "z"), InternalEntryRecord::key("aa", "a")) << "shorter names first";
}

TEST(StateRecords, Ranges) {
    KeyRange of_two = AttributeRecord::range(SegmentId(2));
    EXPECT_TRUE(of_two.contains(AttributeRecord::key(SegmentId(2), {0, 0})));
    EXPECT_TRUE(of_two.contains(AttributeRecord::key(SegmentId(2), {~0ULL, ~0ULL})));
    EXPECT_FALSE(of_two.contains(AttributeRecord::key(SegmentId(1), {~0ULL, ~0ULL})));
    EXPECT_FALSE(of_two.contains(AttributeRecord::key(SegmentId(3), {0, 0})));
    KeyRange of_last = TableEntryRecord::range(SegmentId(~0ULL));
    EXPECT_TRUE(of_last.contains(TableEntryRecord::key(SegmentId(~0ULL), "\xff\xff")));
    EXPECT_FALSE(of_last.contains(TableVersionRecord::key(SegmentId(1), 0)));
    EXPECT_EQ(range_of_prefix("\xff\xff").end, "") << "no key is above these";
    KeyRange scope = InternalEntryRecord::range("meta", "scope/");
    EXPECT_TRUE(scope.contains(InternalEntryRecord::key("meta", "scope/a")));
    EXPECT_FALSE(scope.contains(InternalEntryRecord::key("meta", "scope0")));
    EXPECT_FALSE(scope.contains(InternalEntryRecord::key("metb", "scope/a")));
    KeyRange below = ManifestRecord::range(SegmentId(2), 0, 101);
    EXPECT_TRUE(below.contains(ManifestRecord::key(SegmentId(2), 100)));
    EXPECT_FALSE(below.contains(ManifestRecord::key(SegmentId(2), 101)));
    EXPECT_EQ(TableVersionRecord::range_from(SegmentId(2), 7).begin, TableVersionRecord::key(SegmentId(2), 7));
    EXPECT_FALSE(TableVersionRecord::range_from(SegmentId(2), 7).contains(TableVersionRecord::key(SegmentId(3), 8)));
}

struct Printer {
    std::vector<std::string> lines;
    void put(std::string_view key, std::string_view value) { lines.push_back(fmt::format("put {} {}", key, value)); }
    void remove(std::string_view key) { lines.push_back(fmt::format("remove {}", key)); }
    void remove_range(std::string_view a, std::string_view b) { lines.push_back(fmt::format("range {} {}", a, b)); }
};

TEST(StateBatch, KeepsChangesInOrder) {
    StateBatch batch;
    EXPECT_TRUE(batch.empty());
    batch.put("a", "1");
    batch.put("b", "");
    batch.remove("a");
    batch.remove_range({"c", "d"});
    batch.remove_range({"d", "d"});
    batch.put(NameRecord{"n", SegmentId(1)});
    Printer printer;
    batch.for_each(printer);
    std::vector<std::string> expected = {"put a 1", "put b ", "remove a", "range c d",
                                         "put Nn " + value_of(NameRecord{"n", SegmentId(1)})};
    EXPECT_EQ(printer.lines, expected);
    EXPECT_EQ(batch.changes(), 5u);
    batch.clear();
    EXPECT_TRUE(batch.empty());
    EXPECT_EQ(batch.size_bytes(), 0u);
}

}  // namespace
}  // namespace millrace::container::state
