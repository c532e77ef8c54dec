#include "data/splitter.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "data/tokenizer_part.hpp"

namespace bitmill {

SplitBehavior split_behavior(const std::string& name, const std::string& where) {
  constexpr std::array<std::pair<const char*, SplitBehavior>, 5> names = {
      {{"Isolated", SplitBehavior::isolated},
       {"Removed", SplitBehavior::removed},
       {"MergedWithPrevious", SplitBehavior::merged_with_previous},
       {"MergedWithNext", SplitBehavior::merged_with_next},
       {"Contiguous", SplitBehavior::contiguous}}};
  for (const auto& [known, behavior] : names) {
    if (name == known) return behavior;
  }
  refuse_part(where, "the behavior " + name,
              "Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous");
}

Splitter::Splitter(Regex expression, SplitBehavior behavior, bool invert)
    : expression_(std::move(expression)), behavior_(behavior), invert_(invert) {}

void Splitter::split(std::string_view text,
                     const std::function<void(std::string_view)>& piece) const {
  if (behavior_ == SplitBehavior::isolated) return split_isolated(text, piece);
  for (const Stretch& stretch : joined(stretches(text))) {
    if (stretch.begin == stretch.end) continue;
    if (behavior_ == SplitBehavior::removed && stretch.is_match) continue;
    piece(text.substr(stretch.begin, stretch.end - stretch.begin));
  }
}

void Splitter::split_isolated(std::string_view text,
                              const std::function<void(std::string_view)>& piece) const {
  size_t done = 0;
  expression_.find_all(text, [&](size_t begin, size_t end) {
    if (done < begin) piece(text.substr(done, begin - done));
    if (begin < end) piece(text.substr(begin, end - begin));
    done = end;
  });
  if (done < text.size()) piece(text.substr(done));
}

// The whole text as matches, also empty ones, and the stretches between them.
std::vector<Splitter::Stretch> Splitter::stretches(std::string_view text) const {
  std::vector<Stretch> all;
  size_t done = 0;
  expression_.find_all(text, [&](size_t begin, size_t end) {
    if (done < begin) all.push_back({done, begin, invert_});
    all.push_back({begin, end, !invert_});
    done = end;
  });
  if (done < text.size()) all.push_back({done, text.size(), invert_});
  return all;
}

// As in the `tokenizers` package, a match joins its neighbour only when that is not a match, and
// the first stretch is treated as if a stretch that is not a match came before it.
std::vector<Splitter::Stretch> Splitter::joined(const std::vector<Stretch>& stretches) const {
  const bool backwards = behavior_ == SplitBehavior::merged_with_next;
  std::vector<Stretch> result;
  bool previous_is_match = false;
  for (size_t i = 0; i < stretches.size(); ++i) {
    const Stretch& stretch = stretches[backwards ? stretches.size() - 1 - i : i];
    const bool contiguous = behavior_ == SplitBehavior::contiguous;
    const bool joins = behavior_ != SplitBehavior::removed &&
                       (contiguous ? stretch.is_match == previous_is_match
                                   : stretch.is_match && !previous_is_match);
    previous_is_match = stretch.is_match;
    if (!joins || result.empty()) {
      result.push_back(stretch);
    } else if (backwards) {
      result.back().begin = stretch.begin;
    } else {
      result.back().end = stretch.end;
    }
  }
  if (backwards) std::reverse(result.begin(), result.end());
  return result;
}

}  // namespace bitmill
