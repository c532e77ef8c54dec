#pragma once
// Tokens that are found in the text before it is cut into words, like <|im_start|>.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "data/normalizer.hpp"
#include "data/regex.hpp"
#include "data/token_model.hpp"

namespace bitmill {

// One of them, as the files describe it.
struct AddedToken {
  std::string content;
  std::optional<int64_t> id;  // none: the vocabulary's, or the next that is free
  bool lstrip = false;        // white space before it belongs to it
  bool rstrip = false;
  bool single_word = false;  // only with no letter or digit beside it
  bool normalized = false;   // looked for in the normalized text
  bool special = false;      // can be left out when decoding
};

// An object with "content" and the flags; the id is not read.
AddedToken read_added_token(const nlohmann::json& token, const std::string& where);

// The "added_tokens" of a tokenizer.json: a list, or null for none.
std::vector<AddedToken> read_added_tokens(const nlohmann::json& list, const std::string& where);

// Finds patterns in a text: the leftmost first, the longest among those that begin together.
class PatternFinder {
 public:
  struct Pattern {
    std::string text;
    int32_t id = 0;
    bool take_left_space = false;  // White_Space before a match belongs to it
    bool take_right_space = false;
    bool single_word = false;  // counts only with no letter, mark, digit or "_" beside it
  };
  // Of patterns with the same text the first counts.
  explicit PatternFinder(std::vector<Pattern> patterns);

  // Cuts `text` into matches, with their id, and what lies between them, which is not empty.
  void split(std::string_view text,
             const std::function<void(std::string_view, std::optional<int32_t>)>& segment) const;

 private:
  const Pattern* match_at(std::string_view text) const;
  bool touches_word(std::string_view text, size_t begin, size_t end) const;

  std::vector<Pattern> patterns_;         // sorted by text, each text once
  std::vector<int32_t> shorter_;          // of a pattern: the longest other it begins with, or -1
  std::array<bool, 256> begins_pattern_;  // by byte
  std::unique_ptr<const Regex> word_;     // when a pattern is single_word
};

class AddedTokens {
 public:
  // FormatError for a token that is listed twice, and for an id that the `tokenizers` package would
  // not give this token.
  AddedTokens(const std::vector<AddedToken>& list, const TokenModel& model,
              const Normalizer& normalizer, const std::string& where);

  const PatternFinder& in_text() const { return in_text_; }
  const PatternFinder& in_normalized_text() const { return in_normalized_text_; }

  std::optional<std::string_view> token_of(int32_t id) const;
  bool is_special(std::string_view token) const { return special_.contains(std::string(token)); }
  int32_t largest_id() const;  // -1: none

 private:
  struct Patterns {
    std::vector<PatternFinder::Pattern> in_text;
    std::vector<PatternFinder::Pattern> in_normalized_text;
  };
  Patterns read(const std::vector<AddedToken>& list, const TokenModel& model,
                const Normalizer& normalizer, const std::string& where);
  int32_t id_for(const AddedToken& token, const TokenModel& model, const std::string& where) const;

  std::map<int32_t, std::string> token_of_;
  std::unordered_set<std::string> special_;
  PatternFinder in_text_{{}};
  PatternFinder in_normalized_text_{{}};
};

}  // namespace bitmill
