#pragma once
// Cuts a text into words; tokens never reach across words.

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/splitter.hpp"

namespace bitmill {

class PreTokenizer {
 public:
  // The "pre_tokenizer" of a tokenizer.json, or null. FormatError for what is not supported.
  PreTokenizer(const nlohmann::json& pre_tokenizer, const std::string& where);

  // Calls `word` with the words of `text` (valid UTF-8), in order; they live during the call only.
  // `begins_text`: nothing of what is encoded comes before `text`.
  void split(std::string_view text, bool begins_text,
             const std::function<void(std::string_view)>& word) const;

  // The words are bytes that the model's vocabulary spells in the byte-level alphabet.
  bool is_byte_level() const { return byte_level_; }

 private:
  // One pre-tokenizer of the sequence.
  struct Step {
    std::string space;                    // what comes instead of ' '; empty: ' ' stays
    std::string prefix;                   // before a piece that does not begin with it
    bool prefixes_first_only = false;     // only before the piece that begins the text
    std::unique_ptr<const Splitter> cut;  // null: leaves pieces whole
  };
  Step read_step(const std::string& type, const nlohmann::json& leaf, const std::string& where);
  static Step read_split(const nlohmann::json& leaf, const std::string& where);
  Step read_metaspace(const nlohmann::json& leaf, const std::string& where) const;
  Step read_byte_level(const nlohmann::json& leaf, const std::string& where);
  void split_from(size_t step, std::string_view piece, bool begins_text,
                  const std::function<void(std::string_view)>& word) const;

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace bitmill
