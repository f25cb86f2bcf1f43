// What the user may have meant.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace millrace::cli {

// Insertions, deletions, replacements and swaps of neighbours between two words.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The nearest of `known` when it is near enough to be meant, else nothing.
std::string_view suggest(std::string_view word, std::span<const std::string_view> known);

}  // namespace millrace::cli
