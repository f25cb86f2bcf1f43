// Writes metrics as text, in Prometheus' exposition format 0.0.4: families one after the other, each with its help, its
// type and its samples.
//
//   Exposition out;
//   out.counter("millrace_journal_syncs_total", "Synced writes of the journal.");
//   out.value(17);
//   out.gauge("millrace_cache_bytes", "Memory of the cache.");
//   out.value(4096, {{"container", "3"}});
//   std::string text = out.take();
//
// Label values may be any bytes: they are escaped, and made valid UTF-8. Names are the caller's, and are asserted.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/metrics.h"

namespace millrace::metrics {

inline constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class Exposition {
  public:
    // Begins a family; the values that follow belong to it. A family is begun once.
    void counter(std::string_view name, std::string_view help) { family(name, help, "counter"); }
    void gauge(std::string_view name, std::string_view help) { family(name, help, "gauge"); }
    void histogram(std::string_view name, std::string_view help) { family(name, help, "histogram"); }  // in seconds

    void value(std::uint64_t number, Labels labels = {});
    void value(double number, Labels labels = {});
    void value(const LatencyHistogram::Values& values, Labels labels = {});

    std::string take() { return std::move(text_); }

  private:
    void family(std::string_view name, std::string_view help, std::string_view type);
    void sample(std::string_view suffix, Labels labels, std::string_view bound, std::string_view number);
    void label(std::string_view name, std::string_view text);

    std::string text_;
    std::string name_;
    bool labelled_ = false;  // the sample that is being written has a label already
};

// "0.5", "1e-05", "+Inf", "NaN": the shortest text that gives the same number.
std::string number_text(double number);

}  // namespace millrace::metrics
