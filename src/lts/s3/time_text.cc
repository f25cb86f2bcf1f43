#include "lts/s3/time_text.h"

#include <array>
#include <chrono>

namespace millrace::lts {
namespace {

// Exactly `size` digits at `at`.
std::optional<int> number(std::string_view text, std::size_t at, std::size_t size) {
    if (at + size > text.size()) return std::nullopt;
    int value = 0;
    for (char c : text.substr(at, size)) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + (c - '0');
    }
    return value;
}

std::optional<std::int64_t> moment(std::optional<int> year, std::optional<int> month, std::optional<int> day,
                                   std::optional<int> hour, std::optional<int> minute, std::optional<int> second) {
    using namespace std::chrono;
    if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
    year_month_day date(std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                        std::chrono::day(static_cast<unsigned>(*day)));
    if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
    sys_time<milliseconds> at = sys_days(date);
    at += hours(*hour) + minutes(*minute) + seconds(*second);
    return at.time_since_epoch().count();
}

}  // namespace

std::optional<std::int64_t> parse_http_date(std::string_view text) {
    static constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    if (text.size() != 29 || !text.ends_with(" GMT")) return std::nullopt;
    std::optional<int> month;
    for (std::size_t i = 0; i < kMonths.size(); ++i) {
        if (text.substr(8, 3) == kMonths[i]) month = static_cast<int>(i) + 1;
    }
    return moment(number(text, 12, 4), month, number(text, 5, 2), number(text, 17, 2), number(text, 20, 2),
                  number(text, 23, 2));
}

std::optional<std::int64_t> parse_iso_time(std::string_view text) {
    if (text.size() < 20 || text[4] != '-' || text[10] != 'T' || text.back() != 'Z') return std::nullopt;
    auto at = moment(number(text, 0, 4), number(text, 5, 2), number(text, 8, 2), number(text, 11, 2),
                     number(text, 14, 2), number(text, 17, 2));
    if (at && text[19] == '.') *at += number(text, 20, 3).value_or(0);
    return at;
}

}  // namespace millrace::lts
