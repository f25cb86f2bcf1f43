// writer/<scope>/<stream>/<writer>
#pragma once

#include "controller/records/codec.h"

namespace millrace::controller {

// The time that a writer noted last, and where it was then.
struct WriterRecord {
    std::int64_t time = 0;
    bool alive = true;  // it did not say that it ended
    StreamCut position;
    bool operator==(const WriterRecord&) const = default;

    static constexpr std::string_view kPrefix = "writer/";
    static std::string prefix(const StreamName& stream);
    static std::string key(const StreamName& stream, std::string_view writer);  // any text
    static Result<StreamName> stream_of(std::string_view key);
    std::string encode() const;
    static Result<WriterRecord> decode(std::string_view value);
};

}  // namespace millrace::controller
