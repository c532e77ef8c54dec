#pragma once
// Reads the file that a user gives with --calib or --corpus, as token ids. It may be
//  - .txt;
//  - .jsonl: an object with "text" in every line that is not blank; texts are joined with "\n\n";
//  - a token file: safetensors with a tensor `input_ids`, int32 (int64 is read as well), [tokens]
//    for a text that has been tokenized, or [N, T] for ready windows.
// A text is tokenized once, with the special tokens that its tokenizer adds to a single sequence.

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

// `model_folder` gives the tokenizer; for token files it is not read. FormatError names the first
// id that is not in [0, vocab_size), and its position. UsageError for another suffix.
Tokens read_tokens(Files& files, const std::string& path, const std::string& model_folder,
                   int64_t vocab_size);

// Writes the file beside and renames it. One-dimensional unless is_windows().
void write_token_file(Files& files, const std::string& path, const Tokens& tokens);

}  // namespace bitmill
