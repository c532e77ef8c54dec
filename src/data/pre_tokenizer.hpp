#pragma once
// Cuts a text into words; tokens never reach across words.

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/regex.hpp"

namespace bitmill {

class PreTokenizer {
 public:
  // The "pre_tokenizer" of a tokenizer.json, or null. FormatError for what is not supported.
  PreTokenizer(const nlohmann::json& pre_tokenizer, const std::string& where);

  // Calls `word` with the words of `text` (valid UTF-8), in order; they live during the call only.
  void split(std::string_view text, const std::function<void(std::string_view)>& word) const;

  // The words are bytes that the model's vocabulary spells in the byte-level alphabet.
  bool is_byte_level() const { return byte_level_; }

 private:
  // One pre-tokenizer of the sequence.
  struct Step {
    bool add_prefix_space = false;     // before a piece that does not begin with one
    std::unique_ptr<const Regex> cut;  // null: leaves pieces whole
  };
  void add_byte_level(const nlohmann::json& leaf, const std::string& where);
  void split_from(size_t step, std::string_view piece,
                  const std::function<void(std::string_view)>& word) const;

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace bitmill
