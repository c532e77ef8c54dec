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

// An added token, as the files describe it.
struct AddedToken {
  std::string content;
  std::optional<int64_t> id;  // none: its id in the vocabulary, or else the next free one
  bool lstrip = false;        // white space before the token belongs to it
  bool rstrip = false;
  bool single_word = false;  // found only where no letter or digit is beside it
  bool normalized = false;   // searched in the normalized text
  bool special = false;      // can be left out when decoding
};

// An object with "content" and the flags; the id is not read.
AddedToken read_added_token(const nlohmann::json& token, const std::string& where);

// The keys under which files name special tokens, in the order in which transformers adds them.
inline constexpr std::array<const char*, 7> special_token_keys = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// A special token: its text, or an object as above.
AddedToken read_special_token(const nlohmann::json& value, const std::string& where);

// The "added_tokens_decoder" of a tokenizer_config.json, {"id": {token}}, in the order of its keys;
// null for none.
std::vector<AddedToken> read_added_tokens_decoder(const nlohmann::json& decoder,
                                                  const std::string& where);

// The "added_tokens" of a tokenizer.json: a list, or null for none.
std::vector<AddedToken> read_added_tokens(const nlohmann::json& list, const std::string& where);

// Finds patterns in a text, from left to right; where several begin at one place, the longest.
class PatternFinder {
 public:
  struct Pattern {
    std::string text;
    int32_t id = 0;
    bool take_left_space = false;  // White_Space before a match belongs to it
    bool take_right_space = false;
    bool single_word = false;  // found only where no letter, mark, digit or "_" is beside it
  };
  // When several patterns have the same text, the first one counts.
  explicit PatternFinder(std::vector<Pattern> patterns);

  // Cuts `text` into matches, with their id, and the stretches between them that are not empty.
  void split(std::string_view text,
             const std::function<void(std::string_view, std::optional<int32_t>)>& segment) const;

 private:
  const Pattern* match_at(std::string_view text) const;
  bool touches_word(std::string_view text, size_t begin, size_t end) const;

  std::vector<Pattern> patterns_;         // sorted by text, each text once
  std::vector<int32_t> shorter_;          // per pattern: the longest other it begins with, or -1
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
