#pragma once
// One token that is found in the text itself, as the files describe it.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace bitmill {

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

}  // namespace bitmill
