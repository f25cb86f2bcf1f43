#include "base/log.h"

#include <array>
#include <atomic>
#include <memory>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/metrics.h"
#include "base/text.h"

namespace millrace::log {
namespace {

std::atomic<bool> json_lines{false};
std::array<SharedCounter, 6> written_lines;  // by level

spdlog::logger& logger() {
    // Never destroyed: other threads may log until the very end of the process.
    static auto* instance = [] {
        auto* made = new spdlog::logger("millrace", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
        made->flush_on(spdlog::level::info);
        return made;
    }();
    return *instance;
}

spdlog::level::level_enum convert(Level level) {
    switch (level) {
        case Level::kTrace:
            return spdlog::level::trace;
        case Level::kDebug:
            return spdlog::level::debug;
        case Level::kInfo:
            return spdlog::level::info;
        case Level::kWarn:
            return spdlog::level::warn;
        case Level::kError:
            return spdlog::level::err;
        case Level::kOff:
            return spdlog::level::off;
    }
    return spdlog::level::info;
}

}  // namespace

void set_level(Level level) { logger().set_level(convert(level)); }

bool parse_level(std::string_view text, Level& level) {
    static constexpr std::array<std::pair<std::string_view, Level>, 6> kLevels{{{"trace", Level::kTrace},
                                                                                {"debug", Level::kDebug},
                                                                                {"info", Level::kInfo},
                                                                                {"warn", Level::kWarn},
                                                                                {"error", Level::kError},
                                                                                {"off", Level::kOff}}};
    for (const auto& [name, value] : kLevels) {
        if (text == name) {
            level = value;
            return true;
        }
    }
    return false;
}

void set_json(bool json) {
    json_lines = json;
    logger().set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":"%v"})"
                              : "%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
}

bool enabled(Level level) { return logger().should_log(convert(level)); }

void write(Level level, std::string_view message) {
    written_lines[static_cast<std::size_t>(level)].add();
    if (json_lines)
        logger().log(convert(level), json_escape(message));
    else
        logger().log(convert(level), message);
}

std::uint64_t written(Level level) { return written_lines[static_cast<std::size_t>(level)].get(); }

void flush() { logger().flush(); }

}  // namespace millrace::log
