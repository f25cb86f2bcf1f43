// Operations that a client may ask of the controller, each with what it means when it is said to have happened. New
// kinds of operations are added here, in draw().
#pragma once

#include <functional>
#include <string>

#include "base/clock.h"
#include "sim/controller_world.h"

namespace millrace::sim {

enum class ControlAnswer : std::uint8_t { kNone, kDone, kRefused, kFailed };

struct ControlOperation {
    std::string what;
    std::function<void(controller::Controller&, std::function<void(ControlAnswer, std::string)>)> start;
    // The object before and after it, when it is done.
    std::function<bool(const ObjectView& before, const ObjectView& now)> done;
    // Whether it may be refused.
    std::function<bool(const ObjectView& before)> may_refuse;
};

// One operation on an object that is as `before` says; `highest_number` of a segment of that name so far, or -1.
ControlOperation draw(const ObjectName& name, const ObjectView& before, bool scope_exists, std::int32_t highest_number,
                      Random& random);

std::int32_t highest_number(const ObjectView& view);

}  // namespace millrace::sim
