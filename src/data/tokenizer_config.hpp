#pragma once
// The files beside a tokenizer's own file: tokenizer_config.json, special_tokens_map.json and
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
  std::string path;             // of tokenizer_config.json, which may not exist
  std::string tokenizer_class;  // without "Fast"; empty: not given
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  bool legacy = true;
  // Sorted by id; behind them the special tokens for which no file gives an id.
  std::vector<AddedToken> added_tokens;
  std::unordered_map<std::string, size_t> index_of;  // in added_tokens, by content

  // Does nothing for a token that is there already.
  void add(const AddedToken& token);
  void add_special(const std::string& content);
  void sort_by_id();  // REQUIRES: every token has an id
};

// Every one of the files may be missing.
TokenizerConfig read_tokenizer_config(Files& files, const std::string& folder);

// The id of bos_token before a text if add_bos, and that of eos_token behind it if add_eos.
// FormatError when a token that is asked for is not named or has no id.
SequenceTemplate template_of(const TokenizerConfig& config, bool add_bos, bool add_eos,
                             const TokenModel& model);

}  // namespace bitmill
