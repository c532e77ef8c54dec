#pragma once
// "Did you mean": the nearest known name to one that was mistyped.

#include <string>
#include <string_view>
#include <vector>

namespace bitmill {

// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
int edit_distance(std::string_view a, std::string_view b);

// The nearest of `names`, and of equally near ones the first. Empty when even that one is too far:
// more than a third of the word would have to change (a change of two letters is always allowed),
// or all of it.
std::string nearest_name(std::string_view word, const std::vector<std::string>& names);

// The `most` names that are nearest to `word`, the nearest first, however far they are. For lists
// that a user chooses from.
std::vector<std::string> nearest_names(std::string_view word, std::vector<std::string> names,
                                       size_t most);

// " (did you mean --samples?)", or empty. `dashes` is put before the name.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& names,
                         std::string_view dashes);

}  // namespace bitmill
