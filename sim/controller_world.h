// What the simulated controller's clients see of it, and what must always hold.
#pragma once

#include <compare>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/controller.h"
#include "sim/node.h"

namespace millrace::sim {

enum class Kind : std::uint8_t { kStream, kGroup, kTable };

struct ObjectName {
    Kind kind = Kind::kStream;
    std::string scope;
    std::string name;
    auto operator<=>(const ObjectName&) const = default;
    std::string to_string() const;
};

// All that a client can learn of one object. What its kind does not have is empty.
struct ObjectView {
    bool exists = false;
    bool sealed = false;
    controller::StreamConfig config;
    std::vector<controller::Epoch> epochs;
    controller::StreamCut head;
    controller::ReaderGroupConfig group;
    controller::KeyValueTableConfig table;
    std::vector<controller::SegmentRange> table_segments;
    bool operator==(const ObjectView&) const = default;

    const std::vector<controller::SegmentRange>& current() const { return epochs.back().segments; }
};

// Asks a controller that has nothing under way, and waits for the answer in simulated time.
class Observer {
  public:
    Observer(runtime::ManualExecutor& executor, controller::Controller& controller, Node& node,
             std::uint32_t containers)
        : executor_(executor), controller_(controller), node_(node), containers_(containers) {}

    bool has_scope(const std::string& scope);
    ObjectView view(const ObjectName& name);

    // Keys covered once in every epoch, successors and predecessors that agree, exactly the segments that the records
    // name and each of them open or sealed as it must be, no intent and no entry that belongs to nothing. Remembers the
    // numbers that it has seen. Nothing, or what is wrong.
    std::optional<std::string> check(const std::set<ObjectName>& names);

  private:
    template <typename T, typename Start>
    Result<T> ask(Start start);
    std::optional<std::string> check_epochs(const ObjectName& name, const ObjectView& view);
    std::optional<std::string> expect_segments(const ObjectName& name, const ObjectView& view,
                                               std::map<std::string, bool>& open);
    std::optional<std::string> check_records(const std::set<ObjectName>& existing);
    std::optional<std::string> check_segments(const std::set<ObjectName>& names,
                                              const std::map<std::string, bool>& open);

    runtime::ManualExecutor& executor_;
    controller::Controller& controller_;
    Node& node_;
    std::uint32_t containers_;
    std::optional<std::string> trouble_;  // a query that failed
};

}  // namespace millrace::sim
