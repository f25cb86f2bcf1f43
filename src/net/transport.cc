#include "net/transport.h"

namespace millrace::net {

std::string_view to_string(CloseReason reason) {
    switch (reason) {
        case CloseReason::kRequested:
            return "closed by us";
        case CloseReason::kPeerClosed:
            return "closed by the peer";
        case CloseReason::kPeerReset:
            return "connection broken";
        case CloseReason::kSlowReader:
            return "slow reader";
        case CloseReason::kWindowLimit:
            return "too many unconsumed bytes";
    }
    return "unknown";
}

}  // namespace millrace::net
