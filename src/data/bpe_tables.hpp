#pragma once
// What a BPE model is made of, for every kind of file that holds one.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitmill {

struct BpeOptions {
  // Stands for a character that no token covers; none: such a character is dropped.
  std::optional<std::string> unknown_token;
  bool fuse_unknown = false;   // several unknown characters in a row become one token
  bool byte_fallback = false;  // first choice for such a character: tokens "<0xHH>" for its bytes
  bool ignore_merges = false;  // a word that is in the vocabulary becomes that token, unmerged
};

// The texts are views: the source that the tables were read from must outlive them.
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
