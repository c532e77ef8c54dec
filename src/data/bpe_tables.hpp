#pragma once
// What a BPE model is made of, whichever files it comes from.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitmill {

struct BpeOptions {
  std::optional<std::string> unknown_token;  // of a character that no token covers; none: dropped
  bool fuse_unknown = false;                 // several such in a row become one
  bool byte_fallback = false;                // before that, tokens "<0xHH>" for its bytes
  bool ignore_merges = false;                // a word that is a token is that token
};

// The texts belong to what the tables were read from, which outlives them.
struct BpeTables {
  struct Merge {
    std::string_view left;
    std::string_view right;
    int32_t rank;
  };
  std::vector<std::pair<std::string_view, int32_t>> tokens;
  std::vector<Merge> merges;
  BpeOptions options;
  std::string tokens_where;  // for errors: file and key
  std::string merges_where;
};

// The "model" of a tokenizer.json. FormatError for another kind of model, or an option that is not
// supported.
BpeTables read_bpe_json(const nlohmann::json& model, const std::string& file);

// {token: id}. FormatError for ids that are not numbers in [0, 2^31 - 1).
std::vector<std::pair<std::string_view, int32_t>> read_vocabulary(const nlohmann::json& vocabulary,
                                                                  const std::string& where);

// "left right". FormatError for another number of parts.
BpeTables::Merge read_merge(std::string_view text, int32_t rank, const std::string& where);

}  // namespace bitmill
