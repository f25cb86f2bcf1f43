// One append to a segment by the server itself: set up, append, forget, as one operation. Everything on the container's
// executor; `done` runs there too, never inside the call. All of them write as one writer, so that a segment keeps one
// number for them however many there were; two at a time on one segment are not for it (the later fails with
// kConflict).
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "container/container.h"

namespace millrace::store {

// One event, exactly at `expected_offset`. The result is the offset behind it. kBadOffset: the segment ends elsewhere;
// kSealed, kNotFound, kConflict, kUnavailable (the log is full), kClosed: then it may have been written all the same.
void append_once(container::SegmentContainer& container, std::string segment, std::int64_t expected_offset,
                 std::string event, container::SegmentContainer::Done<std::int64_t> done);

}  // namespace millrace::store
