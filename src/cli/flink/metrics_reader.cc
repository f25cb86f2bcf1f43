#include "cli/flink/metrics_reader.h"

#include <charconv>
#include <limits>

#include <fmt/format.h>

namespace millrace::cli {
namespace {

bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

std::string_view take_name(std::string_view& text) {
    std::size_t size = 0;
    while (size < text.size() && is_name_character(text[size])) ++size;
    std::string_view name = text.substr(0, size);
    text.remove_prefix(size);
    return name;
}

bool take(std::string_view& text, char c) {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
}

void skip_spaces(std::string_view& text) {
    while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
}

// Behind the opening quote; takes the closing one, too.
bool take_quoted(std::string_view& text, std::string& value) {
    while (!text.empty()) {
        char c = text.front();
        text.remove_prefix(1);
        if (c == '"') return true;
        if (c == '\\') {
            if (text.empty()) return false;
            c = text.front() == 'n' ? '\n' : text.front();
            text.remove_prefix(1);
        }
        value += c;
    }
    return false;
}

bool take_labels(std::string_view& text, Sample& sample) {
    while (true) {
        skip_spaces(text);
        if (take(text, '}')) return true;
        auto& [name, value] = sample.labels.emplace_back();
        name = take_name(text);
        if (name.empty() || !take(text, '=') || !take(text, '"') || !take_quoted(text, value)) return false;
        skip_spaces(text);
        if (!take(text, ',') && !text.starts_with('}')) return false;
    }
}

bool parse_number(std::string_view text, double& value) {
    std::string_view word = text.substr(0, text.find_first_of(" \t\r"));
    if (word.starts_with('+')) word.remove_prefix(1);
    if (word == "Inf" || word == "-Inf") {
        value =
            word.front() == '-' ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
        return true;
    }
    if (word == "NaN") {
        value = std::numeric_limits<double>::quiet_NaN();
        return true;
    }
    auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return !word.empty() && error == std::errc() && end == word.data() + word.size();
}

}  // namespace

std::string_view Sample::label(std::string_view key) const {
    for (const auto& [known, text] : labels) {
        if (known == key) return text;
    }
    return {};
}

std::optional<Sample> parse_sample(std::string_view line) {
    Sample sample;
    sample.name = take_name(line);
    if (sample.name.empty()) return std::nullopt;
    skip_spaces(line);
    if (take(line, '{') && !take_labels(line, sample)) return std::nullopt;
    skip_spaces(line);
    if (!parse_number(line, sample.value)) return std::nullopt;
    return sample;
}

Result<StreamLoad> load_of(std::string_view text, const std::vector<WatchedStream>& streams, std::string_view window) {
    StreamLoad load;
    std::vector<bool> seen(streams.size(), false);
    auto place_of = [&](const Sample& sample) -> std::optional<std::size_t> {
        for (std::size_t i = 0; i < streams.size(); ++i) {
            if (sample.label("scope") == streams[i].scope && sample.label("stream") == streams[i].stream) return i;
        }
        return std::nullopt;
    };
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (!line.starts_with("millrace_stream_")) continue;
        auto sample = parse_sample(line);
        // Only numbers that can be: infinite ones and those below zero are no rate.
        if (!sample || !(sample->value >= 0) || !(sample->value < 1e18)) continue;
        auto place = place_of(*sample);
        if (!place) continue;
        if (sample->name == "millrace_stream_segments") {
            seen[*place] = true;
            load.segments += static_cast<std::uint64_t>(sample->value);
        } else if (sample->label("window") == window) {
            if (sample->name == "millrace_stream_write_events_per_second") load.events_per_second += sample->value;
            if (sample->name == "millrace_stream_write_bytes_per_second") load.bytes_per_second += sample->value;
        }
    }
    for (std::size_t i = 0; i < streams.size(); ++i) {
        if (!seen[i])
            return fail(Errc::kNotFound,
                        fmt::format("stream {}/{} is not among the metrics", streams[i].scope, streams[i].stream));
    }
    return load;
}

}  // namespace millrace::cli
