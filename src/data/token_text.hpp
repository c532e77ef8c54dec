#pragma once
// Reads the file that a user gives with --calib or --corpus, as token ids. It may be
//  - a text, as .txt or under any other name;
//  - .jsonl: an object with "text" (or --text-key), or with the "messages" of a chat, in every line
//    that is not blank (corpus_text.hpp);
//  - a token file (token_file.hpp).
// A text is tokenized once, with the special tokens that its tokenizer adds to a single sequence.
// Chats get none: their template has written them.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

struct Tokens {
  std::vector<int32_t> ids;
  int64_t windows = 0;     // N of a two-dimensional token file; 0 for a text
  int64_t window_len = 0;  // its T; 0 for a text
  // What the tokenizer puts before a text, such as a BOS. Empty for token files.
  std::vector<int32_t> before = {};
  // Whether the tokenizer has seen the text here. False: a token file, made by somebody else.
  bool tokenized_here = false;

  bool is_windows() const { return windows > 0; }
};

// `model_folder` gives tokenizer and chat template; for token files it is not read. `text_key` as
// in read_corpus_text(). FormatError names the first id that is not in [0, vocab_size), and its
// position. UsageError for a file that is neither text nor tokens, and for a text_key that has no
// effect.
Tokens read_tokens(Files& files, const std::string& path, const std::string& model_folder,
                   int64_t vocab_size, const std::string& text_key = "");

// Writes the file beside and renames it. One-dimensional unless is_windows().
void write_token_file(Files& files, const std::string& path, const Tokens& tokens);

}  // namespace bitmill
