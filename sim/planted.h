// Bugs that the simulation must find: each a decorator around one of the contracts, as if the product had the fault.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "io/file.h"
#include "wal/durable_log.h"

namespace millrace::sim {

enum class Planted : std::uint8_t {
    kNothing,
    kAckBeforeSync,     // a synced write completes as soon as it is written
    kNoDirectorySync,   // names are never made durable
    kReusedGeneration,  // frames in a recycled file carry the generation of its life before
    kEarlySweep,        // an object without a record yet is taken for an orphan (ObjectWorld)
    kForgottenWriter,   // replay does not restore writers' event numbers
    kLostFlush,         // a container's state says that it is on stable storage, and is not
};

std::optional<Planted> parse_planted(std::string_view name);  // "ack-before-sync", ...
std::string_view to_string(Planted planted);

// Passes everything on to `inner`, which it does not own, but for what is planted.
std::unique_ptr<io::FileSystem> plant(io::FileSystem& inner, Planted planted);

// Passes every frame on, without the writers of its appends.
class ForgetfulVisitor final : public wal::RecoveryVisitor {
  public:
    explicit ForgetfulVisitor(wal::RecoveryVisitor& inner) : inner_(inner) {}
    Result<> frame(ContainerId container, const wal::Appended& where, bytes::ByteSpan payload) override;

  private:
    wal::RecoveryVisitor& inner_;
};

}  // namespace millrace::sim
