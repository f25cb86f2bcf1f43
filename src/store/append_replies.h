// From outcomes of appends to replies. Acknowledgements of plain appends are cumulative: all of one writer in a batch
// of outcomes become one DATA_APPENDED. Appends that came as conditional commands are answered one by one. An error
// follows the acknowledgements of the appends before it (the container gives outcomes in order), and is said once: what
// the writer sent behind it is dropped.
//
// Life cycle: one AppendReplies per connection, on the connection's core. Cost: no allocation, no look-up; two passes
// over the batch.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bytes/binary.h"
#include "container/types.h"

namespace millrace::store {

struct Lane;

// A writer on a connection: what the container knows of it, and what the connection does. `tag` is unused.
struct Session : container::AppendSession {
    enum class State : std::uint8_t {
        kSettingUp,  // appends are queued behind the set-up
        kReady,
        kSetUpFailed,  // and this was said: what was sent with it is dropped, then the session goes
        kFailed,       // an append was refused, and this was said: appends are dropped until the writer sets up again
    };
    Lane* lane = nullptr;
    State state = State::kSettingUp;
    bool superseded = false;        // the writer has set up again, or ended: nobody waits for plain acknowledgements
    std::uint32_t outstanding = 0;  // appends handed to the container whose outcome has not come
    std::size_t position = 0;       // in the connection's list

    // The acknowledgement being gathered.
    bool ack_gathered = false;
    std::int64_t ack_previous = 0;
    std::int64_t ack_event = 0;
    std::int64_t ack_request = 0;
    std::int64_t ack_offset = 0;
};

class AppendReplies {
  public:
    // What the batch means for the connection beyond the bytes written.
    struct Verdict {
        std::uint64_t appends = 0;  // done: as many as outcomes, and those a refused writer had behind the refusal
        std::uint64_t bytes = 0;    // of the outcomes
        std::uint64_t frames = 0;   // written
        std::string close;          // why the connection has to be closed after these replies; empty: it goes on
    };
    Verdict encode(std::span<const container::AppendOutcome> outcomes, bytes::Writer& out);

  private:
    void refuse(Session& session, const container::AppendOutcome& outcome, bytes::Writer& out, Verdict& verdict);
    void gather(Session& session, const container::AppendOutcome& outcome);
    static void write_gathered(Session& session, bytes::Writer& out, Verdict& verdict);

    std::vector<Session*> gathered_;  // writers with an acknowledgement to write, in order of their first append
};

}  // namespace millrace::store
