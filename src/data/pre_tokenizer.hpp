#pragma once
// Cuts a text into words. A token never holds parts of two words.

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
  PreTokenizer(const nlohmann::json& pre_tokenizer, const std::string& file);

  // Calls `word` with the words of `text` (valid UTF-8), in order. A word is valid only during its
  // call. `begins_text`: `text` is the beginning of what is encoded.
  void split(std::string_view text, bool begins_text,
             const std::function<void(std::string_view)>& word) const;

  // True: words are bytes, which the vocabulary spells in the byte-level alphabet.
  bool is_byte_level() const { return byte_level_; }

 private:
  // One pre-tokenizer of the sequence.
  struct Step {
    std::string space;                    // replaces ' '; empty: ' ' stays
    std::string prefix;                   // put before a piece that does not begin with it
    bool prefixes_first_only = false;     // put only before the piece that begins the text
    std::unique_ptr<const Splitter> cut;  // null: does not cut
  };
  Step read_step(const std::string& type, const nlohmann::json& leaf, const std::string& where);
  static Step read_split(const nlohmann::json& leaf, const std::string& where);
  Step read_metaspace(const nlohmann::json& leaf, const std::string& where) const;
  Step read_byte_level(const nlohmann::json& leaf, const std::string& where);
  void split_from(size_t index, std::string_view piece, bool begins_text,
                  const std::function<void(std::string_view)>& word) const;

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace bitmill
