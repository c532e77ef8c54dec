#pragma once
// Turns a text without added tokens into ids: by words and BPE, or by the sentencepiece library.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace bitmill {

// May be used from several threads at once.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the ids of `text`, which is valid UTF-8 and normalized. `begins_text`: `text` is the
  // beginning of what is encoded; false: it comes after an added token.
  virtual void encode(std::string_view text, bool begins_text, std::vector<int32_t>& ids) const = 0;
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  virtual std::optional<std::string_view> token_of(int32_t id) const = 0;
  virtual int32_t token_count() const = 0;
  virtual int32_t largest_id() const = 0;  // -1: none
};

// Some tokenizers treat a whole text as one word. It may be cut before a character that tokens hold
// at their beginning only: the tokens stay the same. The next two say which character, and test it.

// SentencePiece's space.
inline constexpr std::string_view word_space = "\u2581";

// Whether `token` holds `character` anywhere behind another one.
inline bool holds_behind_another(std::string_view token, std::string_view character) {
  size_t at = 0;
  while (token.substr(at).starts_with(character)) at += character.size();
  return token.find(character, at) != token.npos;
}

}  // namespace bitmill
