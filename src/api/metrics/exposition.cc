#include "api/metrics/exposition.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/assert.h"
#include "base/text.h"

namespace millrace::metrics {
namespace {

constexpr std::size_t kLabelBytesMax = 1024;

bool is_name(std::string_view name) {
    auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
    return !name.empty() && !(name.front() >= '0' && name.front() <= '9') && std::ranges::all_of(name, fits);
}

// `quote`: within double quotes, where these are escaped too.
void append_escaped(std::string& text, std::string_view value, bool quote) {
    for (char c : value) {
        if (c == '\n') {
            text += "\\n";
            continue;
        }
        if (c == '\\' || (quote && c == '"')) text += '\\';
        text += c;
    }
}

}  // namespace

std::string number_text(double number) {
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "+Inf" : "-Inf";
    return fmt::format("{}", number);
}

void Exposition::family(std::string_view name, std::string_view help, std::string_view type) {
    MILLRACE_ASSERT(is_name(name));
    name_ = name;
    text_ += "# HELP ";
    text_ += name;
    text_ += ' ';
    append_escaped(text_, help, false);
    text_ += "\n# TYPE ";
    text_ += name;
    text_ += ' ';
    text_ += type;
    text_ += '\n';
}

void Exposition::label(std::string_view name, std::string_view text) {
    MILLRACE_ASSERT(is_name(name));
    text_ += labelled_ ? ',' : '{';
    labelled_ = true;
    text_ += name;
    text_ += "=\"";
    append_escaped(text_, printable(text, kLabelBytesMax), true);
    text_ += '"';
}

void Exposition::sample(std::string_view suffix, Labels labels, std::string_view bound, std::string_view number) {
    MILLRACE_ASSERT(!name_.empty());
    text_ += name_;
    text_ += suffix;
    labelled_ = false;
    for (const auto& [name, text] : labels) label(name, text);
    if (!bound.empty()) label("le", bound);
    if (labelled_) text_ += '}';
    text_ += ' ';
    text_ += number;
    text_ += '\n';
}

void Exposition::value(std::uint64_t number, Labels labels) { sample("", labels, "", fmt::to_string(number)); }
void Exposition::value(double number, Labels labels) { sample("", labels, "", number_text(number)); }

void Exposition::value(const LatencyHistogram::Values& values, Labels labels) {
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < LatencyHistogram::kBounds; ++i) {
        below += values.counts[i];
        double bound = static_cast<double>(LatencyHistogram::bound_us(i)) / 1e6;
        sample("_bucket", labels, number_text(bound), fmt::to_string(below));
    }
    std::string all = fmt::to_string(values.count());
    sample("_bucket", labels, "+Inf", all);
    sample("_sum", labels, "", number_text(static_cast<double>(values.sum_us) / 1e6));
    sample("_count", labels, "", all);
}

}  // namespace millrace::metrics
