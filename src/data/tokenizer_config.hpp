#pragma once
// What stands beside a tokenizer's own file: tokenizer_config.json, special_tokens_map.json and
// added_tokens.json, as transformers writes them.

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/files.hpp"
#include "data/added_tokens.hpp"
#include "data/sequence_template.hpp"
#include "data/token_model.hpp"

namespace bitmill {

struct TokenizerConfig {
  std::string path;             // of tokenizer_config.json, there or not
  std::string tokenizer_class;  // without "Fast"; empty: not said
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  bool legacy = true;
  // By id; then special tokens of which no file gives an id.
  std::vector<AddedToken> added_tokens;
  std::unordered_map<std::string, size_t> index_of;  // in added_tokens, by content

  // A token that is there already stays as it is.
  void add(const AddedToken& token);
  void add_special(const std::string& content);
  void sort_by_id();  // every token has one
};

// None of the files needs to be there.
TokenizerConfig read_tokenizer_config(Files& files, const std::string& folder);

// The ids of bos_token and eos_token around a text, each where it is asked for. FormatError when
// such a token is not named or has no id.
SequenceTemplate template_of(const TokenizerConfig& config, bool add_bos, bool add_eos,
                             const TokenModel& model);

}  // namespace bitmill
