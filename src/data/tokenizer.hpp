#pragma once
// Text to token ids and back, from the tokenizer files that a model's folder holds. What they are
// is told by their content; TOKENIZERS.md says which kinds and parts are understood, and against
// what each was verified. What is not understood is refused by name: tokens are right or there are
// none. Truncation and padding that a file asks for are not applied, as transformers does not
// unless it is told to.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

// The text of tokens that come one by one, as when a model writes it. What push() and finish()
// returned, put together, is what decode() gives for all of the ids.
class TextStream {
 public:
  virtual ~TextStream() = default;
  // The text that nothing can change any more: often that of the token, whole characters always.
  virtual std::string push(int32_t id) = 0;
  // What was held back. Nothing may be pushed after it.
  virtual std::string finish() = 0;
};

// May be used from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // `text` is UTF-8; FormatError with the byte position when it is not. With add_special, what the
  // tokenizer adds to a single sequence (a BOS, say).
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special) const = 0;
  // The text of these ids; special tokens are left out when skip_special. So are, as the package
  // has it, ids that stand for nothing: a model's vocabulary may be padded beyond its tokenizer's.
  // Bytes that make no character become U+FFFD.
  virtual std::string decode(const std::vector<int32_t>& ids, bool skip_special) const = 0;
  // The same, token by token. Lives as long as the tokenizer at most.
  virtual std::unique_ptr<TextStream> start_decoding(bool skip_special) const = 0;
  virtual int64_t vocab_size() const = 0;  // largest id + 1, added tokens included
};

// Reads the first of these that `folder` has: tokenizer.json; tokenizer.model (a sentencepiece
// model, or LLaMA-3's tiktoken ranks); vocab.json and merges.txt. FormatError says what is missing
// or not understood.
std::unique_ptr<Tokenizer> open_tokenizer(Files& files, const std::string& folder);

}  // namespace bitmill
