// What retention would do with a stream now, and why: the answer to a dry run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controller/types.h"

namespace millrace::controller {

struct SubscriberProgress {
    std::string name;           // "scope/group"
    bool has_reported = false;  // otherwise it holds nothing back
    std::int64_t bytes_behind = 0;
};

struct RetentionReport {
    std::optional<RetentionPolicy> policy;  // none: everything stays
    bool sealed = false;                    // then everything stays too, until the stream is deleted
    std::int64_t now_ms = 0;
    std::size_t samples = 0;            // cuts that were noted and can be chosen
    std::int64_t oldest_sample_ms = 0;  // 0: there is none
    StreamCut head;
    StreamCut tail;
    std::int64_t bytes = 0;  // from head to tail
    std::vector<SubscriberProgress> subscribers;
    StreamCut cut;                 // where the stream would be cut off; empty: nowhere
    std::int64_t bytes_to_go = 0;  // before it
    std::string reason;
};

}  // namespace millrace::controller
