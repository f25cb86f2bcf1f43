// Reads a journal back at start: every file and frame is checked, frames are delivered, and where they end it is
// decided whether that is the end (a crash took what was in flight) or damage (something after it says that it had been
// acknowledged). Then a new epoch is begun: its first frame is on stable storage before anything else is written.
// Blocking.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "base/error.h"
#include "io/file.h"
#include "wal/local/journal_file.h"
#include "wal/local/journal_options.h"

namespace millrace::wal::local {

// Where the journal continues.
struct JournalPosition {
    FrameNumber last;         // highest frame; 0: none
    std::uint32_t chain = 0;  // its header CRC
    std::uint32_t epoch = 0;
    std::uint64_t offset = kFileHeaderSize;  // in the current file, of the next frame
};

struct RecoveredContainer {
    ContainerId id;
    LogSequence next{1};
    LogSequence first_kept{1};
};

struct RecoveredJournal {
    Uuid journal;
    std::deque<JournalFileRef> live;             // oldest first; the last is the current one
    std::deque<JournalFileRef> ready;            // generations after the current one
    std::vector<RecoveredContainer> containers;  // position = container index of JournalFile::last_sequence
    JournalPosition position;
    FrameNumber durable;  // highest frame that a later one vouches for
    RecoveryReport report;
};

// Reads and checks only. A directory without journal files gives a journal without files. kCorrupt, kNewerFormat, kIo,
// or the visitor's error.
Result<RecoveredJournal> read_journal(JournalDirectory& directory, RecoveryVisitor& visitor);

// Makes what was read durable, makes the first file if there is none (`fresh` is the new journal's id), writes the
// first frame of the new epoch.
Result<> begin_epoch(JournalDirectory& directory, const JournalOptions& options, const Uuid& fresh,
                     RecoveredJournal& journal);

}  // namespace millrace::wal::local
