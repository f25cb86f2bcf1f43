// Finds figures in metrics in Prometheus' text format.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cli/flink/scale_decision.h"

namespace millrace::cli {

struct Sample {
    std::string_view name;
    std::vector<std::pair<std::string, std::string>> labels;  // values without their escapes
    double value = 0;

    std::string_view label(std::string_view key) const;  // empty: it has none
};

// Nothing for comments, empty lines and what is none of the format's.
std::optional<Sample> parse_sample(std::string_view line);

struct WatchedStream {
    std::string scope;
    std::string stream;
};

// What these streams have together. kNotFound names one that the text does not have.
Result<StreamLoad> load_of(std::string_view text, const std::vector<WatchedStream>& streams, std::string_view window);

}  // namespace millrace::cli
