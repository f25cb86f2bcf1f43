// What one container must look like, by its specification alone: the state after each operation that clients sent, in
// the order of their arrival. Nothing of the product's code is used but its vocabulary.
//
// Two states are kept: `durable` has everything up to the last answer, `latest` everything that was sent. Between them
// lie the pending operations. While the node lives its durable state must be exactly `durable`; after a crash it must
// be `durable` with a prefix of the pending operations, for ever after.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "container/types.h"

namespace millrace::sim {

using container::AttributeUpdate;
using container::kNullAttribute;
using container::TableUpdate;

struct SegmentModel {
    std::shared_ptr<std::string> content;  // all that was sent to it; of this segment, not of one with its name
    std::uint64_t length = 0;
    std::uint64_t start = 0;
    bool sealed = false;
    bool table = false;
    std::int32_t key_length = 0;
    std::map<Uuid, std::int64_t> attributes;  // of clients and writers, and the event count
    std::map<std::string, std::pair<std::string, std::int64_t>> entries;
};

struct ContainerState {
    std::map<std::string, SegmentModel> segments;
    std::map<std::string, std::string> metadata;  // an internal table
};

enum class OpKind : std::uint8_t {
    kCreate,
    kSetup,
    kAppend,
    kSeal,
    kTruncate,
    kMerge,
    kDelete,
    kAttributes,
    kTable,
    kMetadata
};

struct Answer {
    std::optional<Errc> error;
    std::int64_t value = 0;  // where it has one: offset, length, event number, version of the first entry
    friend bool operator==(const Answer&, const Answer&) = default;
};

struct Operation {
    std::uint64_t number = 0;  // in its container, from 1
    OpKind kind = OpKind::kCreate;
    std::string name;
    std::string other;  // source of a merge, value of metadata
    std::int64_t offset = 0;
    std::int32_t key_length = 0;
    bool table = false;
    bool only_if_absent = false;
    std::string data;
    Uuid writer;
    std::int64_t event_number = 0;
    std::vector<AttributeUpdate> attributes;
    std::vector<TableUpdate> updates;
    std::shared_ptr<std::string> content;  // of the segment that it creates
    bool takes_effect = true;              // of an append: its session lets it
    bool silent = false;                   // no answer will come
    Answer expected;
};

class ContainerModel {
  public:
    static constexpr std::int64_t kAny = INT64_MIN + 1;  // as a value: not compared

    // Adds an operation; the result has its number and the answer that must come.
    const Operation& send(Operation operation);
    // It was answered: it is durable with all before it.
    void answered(std::uint64_t number);
    void withdraw_last();  // it was refused, and nothing behind it was sent
    // The node has gone: each of these states is allowed. `fits` is asked for one after the other; false when none
    // does.
    bool recover(const std::function<bool(const ContainerState&)>& fits);

    const ContainerState& durable() const { return durable_; }
    const ContainerState& latest() const { return latest_; }
    bool is_leaving(const std::string& name) const;  // its deletion or its merge is pending
    Operation* find(std::uint64_t number);
    std::size_t pending() const { return operations_.size(); }

  private:
    static Answer apply(ContainerState& state, const Operation& operation, bool with_content);
    void take_front();

    ContainerState durable_;
    ContainerState latest_;
    std::deque<Operation> operations_;  // behind `durable`
    std::uint64_t last_ = 0;
};

}  // namespace millrace::sim
