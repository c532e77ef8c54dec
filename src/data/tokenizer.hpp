#pragma once
// Text to token ids, from a Hugging Face tokenizer.json (BPE).
//
// Understood: normalizers Prepend, Replace (of a plain string) and their Sequence; pre-tokenizers
// ByteLevel (with its GPT-2 expression), Digits and their Sequence; BPE models with or without
// byte_fallback; TemplateProcessing, ByteLevel and Sequence post-processors; decoders ByteLevel,
// ByteFallback, Fuse, Replace, Strip and their Sequence; added tokens, except single_word ones.
// What is not understood is refused by name: tokens are right or there are none. Truncation and
// padding that a file asks for are not applied, as transformers does not unless it is told to.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

// May be used from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // `text` is UTF-8; FormatError with the byte position when it is not. With add_special, what the
  // post-processor adds to a single sequence (a BOS, say). Equal to the `tokenizers` package.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special) const = 0;
  // The text of these ids; special tokens are left out when skip_special. So are, as the package
  // has it, ids that stand for nothing: a model's vocabulary may be padded beyond its tokenizer's.
  // Bytes that make no character become U+FFFD.
  virtual std::string decode(const std::vector<int32_t>& ids, bool skip_special) const = 0;
  virtual int64_t vocab_size() const = 0;  // largest id + 1, added tokens included
};

// Reads `folder`/tokenizer.json. FormatError says what is missing or not understood.
std::unique_ptr<Tokenizer> open_tokenizer(Files& files, const std::string& folder);

}  // namespace bitmill
