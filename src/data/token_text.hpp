#pragma once
// From what a user names with --calib or --corpus to token ids: .txt, .jsonl (an object with "text"
// in every line that is not blank, joined with "\n\n"), or a token file: safetensors with a tensor
// `input_ids`, int32 (int64 is read as well), [tokens] for a text that has been tokenized or [N, T]
// for the windows themselves. A text is tokenized once, with the special tokens that its tokenizer
// adds to a single sequence.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

struct Tokens {
  std::vector<int32_t> ids;
  int64_t windows = 0;     // N of a two-dimensional token file; 0 for a text
  int64_t window_len = 0;  // its T; 0 for a text

  bool is_windows() const { return windows > 0; }
};

// `model_folder` gives the tokenizer; it is not touched for token files. Ids are checked against
// [0, vocab_size): FormatError names the first that is not, and its position. UsageError for
// another suffix.
Tokens read_tokens(Files& files, const std::string& path, const std::string& model_folder,
                   int64_t vocab_size);

// Beside and renamed. One-dimensional unless is_windows().
void write_token_file(Files& files, const std::string& path, const Tokens& tokens);

}  // namespace bitmill
