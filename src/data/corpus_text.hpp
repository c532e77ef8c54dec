#pragma once
// Finds out what a file of text holds, and takes the text out of it.

#include <memory>
#include <string>
#include <string_view>

#include "base/files.hpp"

namespace bitmill {

// Whether `path` is a token file: it ends in .safetensors; or, where the ending is neither .txt nor
// .jsonl, it begins as such a file does.
bool is_token_file(Files& files, const std::string& path);

// Whether a file is read line by line. The endings .txt and .jsonl of `path` are believed. Any
// other file is judged by its content, or its begin, which has the first line that is not blank.
// UsageError for a file that is no text: an archive, an array, a table.
bool holds_json_lines(std::string_view begin, const std::string& path);

struct CorpusText {
  std::string text;
  // Chats, rendered with the chat template of the model: their special tokens are in the text.
  bool is_chat = false;
};

// Reads lines of JSON, as read_corpus_text() says. read() may be called from several threads.
class CorpusLines {
 public:
  CorpusLines(Files& files, std::string model_folder, std::string text_key);
  ~CorpusLines();
  CorpusText read(std::string_view line, const std::string& where) const;

 private:
  struct Template;
  Files& files_;
  const std::string model_folder_, text_key_;
  const std::unique_ptr<Template> template_;  // read for the first chat
};

// FormatError where a line is a chat, and those before are not, or the other way round.
void check_same_kind(bool is_chat, bool chats_before, const std::string& where);

// The text of a file. The endings .txt and .jsonl are believed. Any other file is judged by its
// content: where the first line is a JSON object, it is read like .jsonl, else as it is.
//
// JSON lines: an object in every line that is not blank, with a string under `text_key`, or with
// the messages of a chat. Strings are joined with "\n\n". Chats are rendered (chat_template.hpp,
// with the template of `model_folder`) and joined with nothing between them. An empty key: nobody
// named one, and "text" is used, or else "messages". FormatError names the line: where it lacks the
// key, with the keys that are there; where it has a text, and lines before had chats, or the other
// way round; where its messages cannot be rendered. UsageError for a key that was named for a file
// without JSON lines, and for a file that is no text: an archive, an array, a table.
CorpusText read_corpus_text(Files& files, const std::string& path, const std::string& text_key,
                            const std::string& model_folder);

}  // namespace bitmill
