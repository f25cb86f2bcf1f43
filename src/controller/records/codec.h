// What the records' layouts share (docs/formats/controller-records.md): the envelope, and the parts that occur in
// several records. The reader has limits for everything that is counted, and never trusts a length.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "bytes/binary.h"
#include "controller/types.h"

namespace millrace::controller {

inline constexpr std::uint8_t kRecordVersion = 1;
inline constexpr std::size_t kTextLimit = 4096;
inline constexpr std::size_t kListLimit = 65'536;
inline constexpr std::size_t kTagLimit = 127;

class RecordWriter {
  public:
    RecordWriter() { out_.u8(kRecordVersion); }

    void u8(std::uint8_t v) { out_.u8(v); }
    void i32(std::int32_t v) { out_.le32(static_cast<std::uint32_t>(v)); }
    void i64(std::int64_t v) { out_.le64(static_cast<std::uint64_t>(v)); }
    void f64(double v) { out_.le64(std::bit_cast<std::uint64_t>(v)); }
    void uuid(const Uuid& v) {
        out_.le64(v.high);
        out_.le64(v.low);
    }
    void text(std::string_view v) { out_.le_string(v); }
    void count(std::size_t v) { out_.le32(static_cast<std::uint32_t>(v)); }
    void cut(const StreamCut& v);
    void config(const StreamConfig& v);
    void group_config(const ReaderGroupConfig& v);

    std::string take() const { return std::string(bytes_.begin(), bytes_.end()); }

  private:
    void positions(const std::vector<StreamPosition>& v);

    std::vector<std::uint8_t> bytes_;
    bytes::Writer out_{bytes_};
};

// Fails quietly: read everything, then ask finish().
class RecordReader {
  public:
    explicit RecordReader(std::string_view value);

    std::uint8_t u8() { return in_.u8(); }
    std::int32_t i32() { return static_cast<std::int32_t>(in_.le32()); }
    std::int64_t i64() { return static_cast<std::int64_t>(in_.le64()); }
    double f64() { return std::bit_cast<double>(in_.le64()); }
    Uuid uuid() {
        std::uint64_t high = in_.le64();
        std::uint64_t low = in_.le64();
        return {high, low};
    }
    std::string text() { return std::string(in_.le_string(kTextLimit)); }
    std::size_t count(std::size_t limit, std::size_t least_bytes_each);
    bool flag() { return enumerated(0, 1) == 1; }
    std::uint8_t enumerated(std::uint8_t least, std::uint8_t most);
    StreamCut cut();
    StreamConfig config();
    ReaderGroupConfig group_config();
    void fail() { in_.set_failed(); }

    template <typename Record>
    Result<Record> finish(Record record, std::string_view what) {
        if (auto error = failure(what)) return millrace::fail(std::move(*error));
        return record;
    }

  private:
    std::vector<StreamPosition> positions();
    std::optional<Error> failure(std::string_view what);

    bytes::Reader in_;
    bool newer_ = false;
};

}  // namespace millrace::controller
