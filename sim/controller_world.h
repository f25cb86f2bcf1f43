// What the simulated controller's clients see of it, and what must always hold.
#pragma once

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/controller.h"
#include "sim/controller_node.h"

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
    explicit Observer(ControllerNode& node) : node_(node) {}

    bool has_scope(const std::string& scope);
    ObjectView view(const ObjectName& name);

    // Segments that there must be; true: open for writing.
    using Segments = std::map<std::string, bool>;

    // Keys covered once in every epoch, successors and predecessors that agree, exactly the segments that the records
    // name and each of them open or sealed as it must be, no intent and no entry that belongs to nothing. Segments of
    // transactions are in `more`; those in `perhaps` may be there or not. Nothing, or what is wrong.
    std::optional<std::string> check(const std::set<ObjectName>& names, const Segments& more = {},
                                     const std::set<std::string>& perhaps = {});
    // Of one object, from its head to its end.
    std::optional<std::string> expect_segments(const ObjectName& name, const ObjectView& view, Segments& open);

    // The answer to a question, which may fail. `start` gets the callback.
    template <typename T, typename Start>
    Result<T> ask(Start start) {
        auto answer = std::make_shared<std::optional<Result<T>>>();
        start([answer](Result<T> result) { *answer = std::move(result); });
        node_.executor().run_until_idle();
        for (int i = 0; i < 1000 && !*answer; ++i) node_.advance(std::chrono::milliseconds(10));
        if (!*answer) return fail(Errc::kUnavailable, "a query has no answer");
        return std::move(**answer);
    }
    Result<container::SegmentInfo> info(const std::string& segment);

  private:
    std::optional<std::string> check_epochs(const ObjectName& name, const ObjectView& view);
    std::optional<std::string> check_records(const std::set<ObjectName>& existing);
    std::optional<std::string> check_segments(const Segments& open, const std::set<std::string>& perhaps);

    ControllerNode& node_;
    std::optional<std::string> trouble_;  // a query that failed
};

}  // namespace millrace::sim
