#pragma once
// Text to token ids and back, with the tokenizer files in a model's folder. The kind of a file is
// found from its content. TOKENIZERS.md says which kinds and parts are understood, and how each was
// verified. A part that is not understood is refused by name, so that tokens are never wrong.
// Truncation and padding that a file asks for are not applied: transformers does not apply them by
// default either.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

// The text of tokens that come one by one, as when a model generates them. The results of all
// push() calls and of finish(), put together, are what decode() gives for all of the ids.
class TextStream {
 public:
  virtual ~TextStream() = default;
  // The new text that later tokens cannot change: often the token's own; always whole characters.
  virtual std::string push(int32_t id) = 0;
  // The text that was held back. Nothing may be pushed afterwards.
  virtual std::string finish() = 0;
};

// May be used from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // `text` is UTF-8; FormatError with the byte position when it is not. add_special: with the
  // special tokens that the tokenizer adds to a single sequence (a BOS, for example).
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special) const = 0;
  // What encode() puts before a text with add_special: usually nothing, or one BOS.
  virtual std::vector<int32_t> ids_before_text() const = 0;
  // The text of these ids. Special tokens are left out when skip_special. Ids without a token are
  // always left out, as in the `tokenizers` package: a model's vocabulary may be padded beyond its
  // tokenizer's. Bytes that make no character become U+FFFD.
  virtual std::string decode(const std::vector<int32_t>& ids, bool skip_special) const = 0;
  // The same, token by token. The tokenizer must outlive the result.
  virtual std::unique_ptr<TextStream> start_decoding(bool skip_special) const = 0;
  virtual int64_t vocab_size() const = 0;  // largest id + 1, added tokens included
};

// Reads the first of these that is in `folder`: tokenizer.json; tokenizer.model (a sentencepiece
// model, or LLaMA-3's tiktoken ranks); vocab.json and merges.txt. FormatError says what is missing
// or not understood.
std::unique_ptr<Tokenizer> open_tokenizer(Files& files, const std::string& folder);

}  // namespace bitmill
