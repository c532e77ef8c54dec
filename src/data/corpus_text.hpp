#pragma once
// Finds out what a file of text holds, and takes the text out of it.

#include <string>

#include "base/files.hpp"

namespace bitmill {

// Whether `path` is a token file: it ends in .safetensors; or, where the ending is neither .txt nor
// .jsonl, it begins as such a file does.
bool is_token_file(Files& files, const std::string& path);

// The text of a file. The endings .txt and .jsonl are believed. Any other file is judged by its
// content: where the first line is a JSON object, it is read like .jsonl, else as it is.
//
// JSON lines: an object in every line that is not blank; the strings under `text_key` are joined
// with "\n\n". An empty key: nobody named one, and "text" is used. FormatError names the line;
// where it lacks the key, also the keys that are there. UsageError for a key that was named for a
// file without JSON lines, and for a file that is no text: an archive, an array, a table.
std::string read_corpus_text(Files& files, const std::string& path, const std::string& text_key);

}  // namespace bitmill
