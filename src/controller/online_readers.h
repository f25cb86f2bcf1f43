// OnlineReaders: which readers of a reader group are online, from the records that the group's clients keep in its own
// stream, `_RG<group>`. The clients' state machine has more to it; here only what makes readers come and go is applied.
//
// The bytes are the clients': anything may stand there. What is no record of theirs is kCorrupt, with the offset among
// the bytes that were given; more readers than a group can sensibly have are kLimit. A pure value.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "bytes/buffer.h"

namespace millrace::controller {

class OnlineReaders {
  public:
    static constexpr std::size_t kMaxEvent = 16 << 20;  // bytes, behind its header; clients write at most 8 MiB
    static constexpr std::size_t kMaxReaders = 65'536;

    // The stream's next bytes, from its start, cut anywhere. After an error: nothing more.
    Result<> add(bytes::ByteSpan piece);
    Result<> finish() const;  // kCorrupt: the bytes end within a record

    const std::set<std::string>& ids() const { return ids_; }  // UTF-8

  private:
    Result<> apply_record(bytes::ByteSpan record);
    Result<> apply_update(bytes::ByteSpan update, bool initial);
    Error corrupt(std::string_view what) const;

    std::set<std::string> ids_;
    bool initialized_ = false;
    std::vector<std::uint8_t> rest_;  // of an event that has not come whole
    std::uint64_t applied_ = 0;       // bytes of whole events
};

}  // namespace millrace::controller
