#pragma once
// Byte pair encoding: a word begins as its characters. The neighbours with the lowest rank are
// merged, again and again, until no pair of neighbours has a rank. The time is O(n log n) in the
// length of the word, because SentencePiece-style tokenizers make a whole text one word.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/bpe_tables.hpp"
#include "data/merge_table.hpp"

namespace bitmill {

class BpeModel {
 public:
  // FormatError for two tokens with one id, and for merges whose parts or result are not tokens.
  explicit BpeModel(const BpeTables& tables);
  BpeModel(const BpeModel&) = delete;  // token_of_ points into id_of_
  BpeModel& operator=(const BpeModel&) = delete;

  // Appends the ids of one word, valid UTF-8. FormatError when the word needs the unknown token,
  // and the file names one that is not in its vocabulary.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;
  // The same for a word of bytes, which the vocabulary spells in the byte-level alphabet.
  void encode_bytes(std::string_view word, std::vector<int32_t>& ids) const;

  // True when `character` is a token, and no token holds it behind another character. Then a word
  // may be cut before every `character` that is behind another one, and its ids stay the same.
  bool begins_tokens_only(std::string_view character) const;

  std::optional<int32_t> id_of(std::string_view token) const;
  std::optional<std::string_view> token_of(int32_t id) const;
  int32_t token_count() const { return static_cast<int32_t>(id_of_.size()); }
  int32_t largest_id() const { return largest_id_; }  // -1: none

 private:
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

  void add_token(std::string_view token, int32_t id, const std::string& where);
  void add_merge(const BpeTables::Merge& merge, const std::string& where);
  void find_byte_tokens();

  std::vector<int32_t> characters_of(std::string_view word) const;
  bool append_byte_tokens(std::string_view character, std::vector<int32_t>& ids) const;
  int32_t unknown_id() const;
  void merge_all(const std::vector<int32_t>& characters, std::vector<int32_t>& ids) const;
  void merge_long(const std::vector<int32_t>& characters, std::vector<int32_t>& ids) const;
  void merge_symbols(std::vector<Symbol>& symbols) const;

  std::unordered_map<std::string, int32_t, TextHash, std::equal_to<>> id_of_;
  std::unordered_map<int32_t, std::string_view> token_of_;
  MergeTable merges_;
  std::array<std::optional<int32_t>, 256> alphabet_id_;  // of a byte's character in the alphabet
  std::array<std::optional<int32_t>, 256> fallback_id_;  // of "<0xHH>"
  BpeOptions options_;
  int32_t largest_id_ = -1;
  std::string where_;
};

}  // namespace bitmill
