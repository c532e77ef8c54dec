#pragma once
// Text to token ids, from a Hugging Face tokenizer.json (BPE).
//
// Understood: normalizers Prepend, Replace (of a plain string) and their Sequence; pre-tokenizers
// ByteLevel (with its GPT-2 expression), Digits and their Sequence; BPE models with or without
// byte_fallback; TemplateProcessing and Sequence post-processors; added tokens. What is not
// understood is refused by name: tokens are right or there are none.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // `text` is UTF-8; FormatError with the byte position when it is not. With add_special, what the
  // post-processor adds to a single sequence (a BOS, say). Equal to the `tokenizers` package.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special) const = 0;
  // The text of these ids; special tokens are left out when skip_special.
  virtual std::string decode(const std::vector<int32_t>& ids, bool skip_special) const = 0;
  virtual int64_t vocab_size() const = 0;  // largest id + 1, added tokens included
};

// Reads `folder`/tokenizer.json. FormatError says what is missing or not understood.
std::unique_ptr<Tokenizer> open_tokenizer(Files& files, const std::string& folder);

}  // namespace bitmill
