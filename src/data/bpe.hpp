#pragma once
// Byte pair encoding: a word begins as its characters, and the neighbours with the lowest rank are
// merged until no two have one. O(n log n) in the length of the word, because SentencePiece-style
// tokenizers make a whole text one word.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bitmill {

class BpeModel {
 public:
  // The "model" of a tokenizer.json. FormatError for another kind of model, an option that is not
  // supported, or merges whose parts or result are not in the vocabulary.
  BpeModel(const nlohmann::json& model, const std::string& where);
  BpeModel(const BpeModel&) = delete;  // token_of_ points into id_of_
  BpeModel& operator=(const BpeModel&) = delete;

  // Appends the ids of one word, valid UTF-8. FormatError when it needs an unknown token that the
  // file names and its vocabulary lacks.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;

  std::optional<int32_t> id_of(std::string_view token) const;
  std::optional<std::string_view> token_of(int32_t id) const;
  int32_t token_count() const { return static_cast<int32_t>(id_of_.size()); }
  int32_t largest_id() const { return largest_id_; }  // -1: none

 private:
  struct Merge {
    int32_t rank;
    int32_t id;  // of the result
  };
  // A stretch of the word that is one token so far; a doubly linked list inside a vector.
  struct Symbol {
    int32_t id;
    int32_t previous;  // index, -1: none
    int32_t next;      // index, -1: none
    bool gone;         // merged into the one before it
  };
  struct Candidate {
    int32_t rank;
    int32_t position;  // of the left symbol
    int32_t id;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  void read_options(const nlohmann::json& model, const std::string& where);
  void read_vocabulary(const nlohmann::json& model, const std::string& where);
  void read_merges(const nlohmann::json& model, const std::string& where);
  void add_merge(const std::string& left, const std::string& right, int32_t rank,
                 const std::string& where);

  const Merge* merge_of(int32_t left, int32_t right) const;
  static uint64_t pair_key(int32_t left, int32_t right);
  static std::vector<Symbol> linked(const std::vector<int32_t>& ids);
  std::vector<int32_t> characters_of(std::string_view word) const;
  bool append_byte_tokens(std::string_view character, std::vector<int32_t>& ids) const;
  int32_t unknown_id() const;
  void merge_all(std::vector<Symbol>& symbols) const;

  std::unordered_map<std::string, int32_t, TextHash, std::equal_to<>> id_of_;
  std::unordered_map<int32_t, std::string_view> token_of_;
  std::unordered_map<uint64_t, Merge> merges_;  // by pair_key(left, right)
  std::optional<std::string> unknown_token_;
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;  // a word that is a token is that token
  int32_t largest_id_ = -1;
  std::string where_;
};

}  // namespace bitmill
