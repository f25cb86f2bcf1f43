#include "cli/suggest.h"

#include <algorithm>
#include <vector>

namespace millrace::cli {
namespace {

constexpr std::size_t kLongestWord = 64;
constexpr std::size_t kLettersPerMistake = 3;

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
    for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        for (std::size_t j = 1; j <= b.size(); ++j) {
            std::size_t replace = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            cost[i][j] = std::min({replace, cost[i - 1][j] + 1, cost[i][j - 1] + 1});
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[a.size()][b.size()];
}

std::string_view suggest(std::string_view word, std::span<const std::string_view> known) {
    if (word.size() > kLongestWord) return {};
    std::size_t allowed = std::max<std::size_t>(1, word.size() / kLettersPerMistake);
    std::string_view best;
    for (std::string_view candidate : known) {
        std::size_t distance = edit_distance(word, candidate);
        if (distance > allowed) continue;
        allowed = distance - (distance > 0 ? 1 : 0);  // the next one must be nearer
        best = candidate;
        if (distance == 0) break;
    }
    return best;
}

}  // namespace millrace::cli
