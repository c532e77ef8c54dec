#pragma once
// Cuts a text at the matches of an expression, in the five ways of the `tokenizers` package.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/regex.hpp"

namespace bitmill {

// What a match becomes: a piece of its own, nothing, part of the piece before it, part of the piece
// after it, or one piece together with the matches next to it.
enum class SplitBehavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };

// "Isolated" and so on, of a tokenizer.json. FormatError for another name.
SplitBehavior split_behavior(const std::string& name, const std::string& where);

// May be used from several threads at once.
class Splitter {
 public:
  // With `invert`, the stretches between the matches are treated as the matches.
  Splitter(Regex expression, SplitBehavior behavior, bool invert = false);

  // Calls `piece` with the pieces of `text` (valid UTF-8), none of them empty, in order.
  void split(std::string_view text, const std::function<void(std::string_view)>& piece) const;

 private:
  struct Stretch {
    size_t begin;
    size_t end;
    bool is_match;
  };
  void split_isolated(std::string_view text,
                      const std::function<void(std::string_view)>& piece) const;
  std::vector<Stretch> stretches(std::string_view text) const;
  std::vector<Stretch> joined(const std::vector<Stretch>& stretches) const;

  Regex expression_;
  SplitBehavior behavior_;
  bool invert_;
};

}  // namespace bitmill
