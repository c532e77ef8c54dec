#pragma once
// Where a text that is one word to its tokenizer may be cut without a change of its tokens: before
// a character that every token holds at its beginning only.

#include <string_view>

namespace bitmill {

// SentencePiece's space.
inline constexpr std::string_view word_space = "\u2581";

// Whether `token` holds `character` anywhere behind another one.
inline bool holds_behind_another(std::string_view token, std::string_view character) {
  size_t at = 0;
  while (token.substr(at).starts_with(character)) at += character.size();
  return token.find(character, at) != token.npos;
}

}  // namespace bitmill
