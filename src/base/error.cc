#include "base/error.h"

namespace millrace {

std::string_view to_string(Errc code) {
    switch (code) {
        case Errc::kInvalidArgument:
            return "invalid argument";
        case Errc::kNotFound:
            return "not found";
        case Errc::kExists:
            return "exists";
        case Errc::kSealed:
            return "sealed";
        case Errc::kTruncated:
            return "truncated";
        case Errc::kBadOffset:
            return "bad offset";
        case Errc::kBadAttribute:
            return "bad attribute";
        case Errc::kBadVersion:
            return "bad version";
        case Errc::kNoKey:
            return "no such key";
        case Errc::kMerged:
            return "merged";
        case Errc::kUnsupported:
            return "unsupported";
        case Errc::kLimit:
            return "over the limit";
        case Errc::kNoSpace:
            return "no space";
        case Errc::kIo:
            return "I/O error";
        case Errc::kCorrupt:
            return "corrupt";
        case Errc::kNewerFormat:
            return "newer format";
        case Errc::kLocked:
            return "locked";
        case Errc::kClosed:
            return "closed";
        case Errc::kUnavailable:
            return "unavailable";
        case Errc::kConflict:
            return "conflict";
    }
    return "unknown error";
}

std::string Error::to_string() const {
    std::string text(millrace::to_string(code_));
    if (!message_.empty()) text += ": " + message_;
    return text;
}

}  // namespace millrace
