#pragma once
// Tokens that are found in the text before it is cut into words, like <|im_start|>.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "data/bpe.hpp"
#include "data/normalizer.hpp"

namespace bitmill {

// Finds patterns in a text: the leftmost first, the longest among those that begin together.
class PatternFinder {
 public:
  struct Pattern {
    std::string text;
    int32_t id = 0;
    bool take_left_space = false;  // White_Space before a match belongs to it
    bool take_right_space = false;
  };
  void add(Pattern pattern);

  // Cuts `text` into matches, with their id, and what lies between them, which is not empty.
  void split(std::string_view text,
             const std::function<void(std::string_view, std::optional<int32_t>)>& segment) const;

 private:
  const Pattern* match_at(std::string_view text) const;

  std::array<std::vector<Pattern>, 256> patterns_;  // by first byte; longest first
};

class AddedTokens {
 public:
  // The "added_tokens" of a tokenizer.json. FormatError for what is not supported, and for an id
  // that the `tokenizers` package would not give this token.
  AddedTokens(const nlohmann::json& list, const BpeModel& model, const Normalizer& normalizer,
              const std::string& where);

  const PatternFinder& in_text() const { return in_text_; }
  const PatternFinder& in_normalized_text() const { return in_normalized_text_; }

  std::optional<std::string_view> token_of(int32_t id) const;
  bool is_special(std::string_view token) const { return special_.contains(std::string(token)); }
  int32_t largest_id() const;  // -1: none

 private:
  void add(const nlohmann::json& token, const BpeModel& model, const Normalizer& normalizer,
           const std::string& where);

  PatternFinder in_text_;
  PatternFinder in_normalized_text_;
  std::map<int32_t, std::string> token_of_;
  std::unordered_set<std::string> special_;
};

}  // namespace bitmill
