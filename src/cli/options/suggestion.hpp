#pragma once
// "Did you mean": the nearest known name to one that was mistyped.

#include <string>
#include <string_view>
#include <vector>

namespace bitmill {

// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
int edit_distance(std::string_view a, std::string_view b);

// The nearest of `names`, the first of equals; empty when none is near enough to be meant: more
// than a third of the word would have to change (two letters are always near), or the whole of it.
std::string nearest_name(std::string_view word, const std::vector<std::string>& names);

// " (did you mean --samples?)", or empty. `dashes` is put before the name.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& names,
                         std::string_view dashes);

}  // namespace bitmill
