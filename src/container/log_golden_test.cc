// The golden files of the container log's payload: each version from 3 on stays readable, and what is written is what
// is documented.
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "container/operation.h"

namespace millrace::container {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Piece {
    Bytes bytes;
    std::string meaning;
};

Bytes from_hex(const std::string& text) {
    Bytes bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        bytes.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
    }
    return bytes;
}

// The payload's header and its records, in order, each with what it means.
std::vector<Piece> golden(int version) {
    std::ifstream in(fmt::format("{}/payload-v{}.txt", CONTAINER_TESTDATA, version));
    std::vector<Piece> pieces(1);
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("#")) continue;
        if (line.starts_with("= ")) {
            pieces.back().meaning = line.substr(2);
            pieces.emplace_back();
            continue;
        }
        Bytes bytes = from_hex(line);
        pieces.back().bytes.insert(pieces.back().bytes.end(), bytes.begin(), bytes.end());
    }
    pieces.pop_back();
    return pieces;
}

Bytes joined(const std::vector<Piece>& pieces) {
    Bytes all;
    for (const Piece& piece : pieces) all.insert(all.end(), piece.bytes.begin(), piece.bytes.end());
    return all;
}

std::string text(const Uuid& id) { return fmt::format("{:016x}-{:016x}", id.high, id.low); }

std::string text(const AttributeValues& values) {
    std::string all;
    for (const auto& [id, value] : values) all += fmt::format("{}{}={}", all.empty() ? "" : ", ", text(id), value);
    return "{" + all + "}";
}

// Says each record in words, and writes it again.
class Describer final : public RecordVisitor {
  public:
    explicit Describer(bytes::ByteSpan payload) : payload_(payload) {}

    Result<> on(const CreateRecord& r) override {
        return note(r, fmt::format("create {} at {} '{}' {}{}", r.id.value(), r.created_ms, r.name, text(r.attributes),
                                   r.transient ? " transient" : ""));
    }
    Result<> on(const AppendRecord& r) override {
        std::string writer =
            r.has_writer ? fmt::format(" writer {} number {}", text(r.writer), r.event_number) : std::string();
        std::string_view data = data_of(r.data_position, r.data_size);
        Bytes head(kRecordHeader + kAppendFixedWriter);
        head.resize(encode_append_head(r, head.data()));
        return note_with_data(
            std::move(head), data,
            fmt::format("append {} at {} '{}' events {}{}", r.id.value(), r.offset, data, r.event_count, writer));
    }
    Result<> on(const AttributesRecord& r) override {
        return note(r, fmt::format("attributes {} {}", r.id.value(), text(r.values)));
    }
    Result<> on(const SealRecord& r) override { return note(r, fmt::format("seal {}", r.id.value())); }
    Result<> on(const TruncateRecord& r) override {
        return note(r, fmt::format("truncate {} to {}", r.id.value(), r.start));
    }
    Result<> on(const MergeRecord& r) override {
        return note(r, fmt::format("merge {} into {} at {} bytes {} {}", r.source.value(), r.target.value(),
                                   r.target_offset, r.source_size, text(r.attributes)));
    }
    Result<> on(const DeleteRecord& r) override { return note(r, fmt::format("delete {}", r.id.value())); }
    Result<> on(const TableRecord& r) override {
        std::string entries;
        for (const TableRecord::Entry& entry : r.entries) {
            entries += fmt::format("{} '{}'{} version {}", entries.empty() ? "" : ",", entry.key,
                                   entry.value ? "='" + *entry.value + "'" : " removed", entry.version);
        }
        return note(r, fmt::format("table '{}'{}", r.table, entries));
    }
    Result<> on(TableUpdateRecord&& r) override {
        std::string entries;
        for (const auto& entry : r.entries) {
            entries +=
                fmt::format(" '{}'={}@{}", entry.key, entry.value ? "'" + *entry.value + "'" : "none", entry.version);
        }
        return note(r, fmt::format("table {} at {}{}:{}", r.id.value(), r.offset,
                                   r.free_removals ? " free removals" : "", entries));
    }
    Result<> on(const ObjectWrittenRecord& r) override {
        std::string parts;
        for (const ObjectPart& part : r.parts) {
            parts += fmt::format(" {}@{}+{}->{}", part.segment.value(), part.offset, part.size, part.object_offset);
        }
        return note(r, fmt::format("object {} {} '{}' of {}:{}", r.object.id.value(), static_cast<int>(r.object.kind),
                                   r.object.key, r.object.data_bytes, parts));
    }
    Result<> on(const RelocateRecord& r) override {
        std::string_view data = data_of(r.data_position, r.data_size);
        Bytes head(kRecordHeader + kRelocateFixed);
        head.resize(encode_relocate_head(r, head.data()));
        return note_with_data(std::move(head), data,
                              fmt::format("relocate {} at {} '{}'", r.id.value(), r.offset, data));
    }

    std::vector<Piece> pieces;

  private:
    std::string_view data_of(std::size_t position, std::size_t size) const {
        return bytes::as_text(payload_.subspan(position, size));
    }
    template <typename Record>
    Result<> note(const Record& record, std::string meaning) {
        Bytes again;
        bytes::Writer writer(again);
        encode(record, writer);
        pieces.push_back({std::move(again), std::move(meaning)});
        return {};
    }
    Result<> note_with_data(Bytes head, std::string_view data, std::string meaning) {
        head.insert(head.end(), data.begin(), data.end());
        pieces.push_back({std::move(head), std::move(meaning)});
        return {};
    }

    bytes::ByteSpan payload_;
};

class LogGolden : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Versions, LogGolden, testing::Range(3, kPayloadVersion + 1));

TEST_P(LogGolden, IsReadAndWrittenAgainTheSame) {
    std::vector<Piece> expected = golden(GetParam());
    ASSERT_GT(expected.size(), 5u) << "every kind of record that the version brought, and the header";
    Bytes payload = joined(expected);
    Describer describer(payload);
    auto header = decode_payload(payload, describer);
    ASSERT_TRUE(header) << header.error().to_string();
    EXPECT_EQ(fmt::format("header: {} records at {}", header->records, header->wall_ms), expected[0].meaning);
    Bytes header_again(kPayloadHeader);
    encode_payload_header(*header, header_again.data());
    EXPECT_EQ(header_again[0], kPayloadVersion);
    header_again[0] = static_cast<std::uint8_t>(GetParam());
    EXPECT_EQ(header_again, expected[0].bytes);
    ASSERT_EQ(describer.pieces.size() + 1, expected.size());
    for (std::size_t i = 1; i < expected.size(); ++i) {
        EXPECT_EQ(describer.pieces[i - 1].meaning, expected[i].meaning);
        EXPECT_TRUE(describer.pieces[i - 1].bytes == expected[i].bytes)
            << expected[i].meaning << ": the format changed; give it a new version, and keep the old golden file";
    }
}

// A payload cut off anywhere, or of a version that is not known, is damage and not a shorter log.
TEST_P(LogGolden, CutOffOrOfAnotherVersionItIsDamage) {
    Bytes payload = joined(golden(GetParam()));
    for (std::size_t size = 0; size < payload.size(); ++size) {
        bytes::ByteSpan cut(payload.data(), size);
        Describer describer(cut);
        EXPECT_FALSE(decode_payload(cut, describer)) << size << " of " << payload.size() << " bytes are accepted";
    }
    payload[0] = kPayloadVersion + 1;
    Describer describer(payload);
    EXPECT_FALSE(decode_payload(payload, describer));
}

}  // namespace
}  // namespace millrace::container
