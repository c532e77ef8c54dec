#pragma once
// The known chat templates: found by the hash of their text, or by name.

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace bitmill {

struct ChatMessage {
  std::string role;
  std::string content;
};

// The special tokens that a template may write.
struct ChatTokens {
  std::string bos;
  std::string eos;
};

struct ChatFormat {
  std::string_view name;
  // REQUIRES: messages are not empty. Throws FormatError where the template raises an exception.
  std::string (*render)(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                        bool asks_for_answer);
};

// Of a template's text, as it is in the model's file; nullptr: not a known one. Line ends may be
// those of Windows, and one line end at the end does not count.
const ChatFormat* find_chat_format(std::string_view template_text);
// By chat_template_hash() of its text.
const ChatFormat* chat_format_by_hash(std::string_view hash);
// By the format's name; nullptr: there is none.
const ChatFormat* chat_format_named(std::string_view name);
// For messages: the names of all formats, with commas.
std::string known_chat_formats();
// XXH3 of the text as find_chat_format() compares it: what the table holds.
std::string chat_template_hash(std::string_view template_text);

}  // namespace bitmill
