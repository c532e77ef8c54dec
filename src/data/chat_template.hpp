#pragma once
// Messages of a chat as one text, exactly as transformers renders them with the chat templates of
// some known models. A template is a program in the Jinja language. It is not run here: it is
// recognised by its text, and what it does is written in C++ (chat_renderers.cpp). CHAT.md lists
// them.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"
#include "data/chat_formats.hpp"

namespace bitmill {

struct ChatSettings {
  bool asks_for_answer = false;  // add_generation_prompt: the text ends where an answer begins
};

class ChatTemplate {
 public:
  // `where` names the template's file in errors.
  ChatTemplate(const ChatFormat& format, ChatTokens tokens, std::string where);

  std::string_view name() const { return format_->name; }
  // FormatError with what the template itself would raise: a role that it does not know, messages
  // in an order that it does not take, none at all.
  std::string render(std::span<const ChatMessage> messages, const ChatSettings& settings) const;

 private:
  const ChatFormat* format_;
  ChatTokens tokens_;
  std::string where_;
};

// The chat template of a model's folder: chat_template.jinja, or else "chat_template" of
// tokenizer_config.json (of several, the one named "default"). FormatError when there is none, and
// when it is not one of the known ones; both say what to do.
ChatTemplate read_chat_template(Files& files, const std::string& folder);

// The messages of a JSON value: a list of objects with "role" and "content", both strings.
// FormatError, with `where`, for anything else.
std::vector<ChatMessage> read_chat_messages(const nlohmann::json& value, const std::string& where);

}  // namespace bitmill
