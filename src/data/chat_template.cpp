#include "data/chat_template.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/tokenizer_config.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

constexpr int64_t largest_template_file = int64_t{1} << 26;  // bytes
constexpr const char* template_key = "chat_template";
constexpr const char* give_finished_text =
    "give the finished text instead (generate: --prompt without --chat; a corpus: \"text\", not "
    "\"messages\")";

struct FoundTemplate {
  std::string text;
  std::string where;
};

// "chat_template" may be a text, or a list of objects with "name" and "template".
std::string template_in(const nlohmann::json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  BITMILL_CHECK(value.is_array(), FormatError,
                fmt::format("{}: must be a text, or a list of named templates", where));
  for (const auto& named : value) {
    BITMILL_CHECK(named.is_object(), FormatError,
                  fmt::format("{}: must be a list of objects with name and template", where));
    if (json_string(named, "name", where) == "default") {
      return json_string(named, "template", where);
    }
  }
  throw FormatError(fmt::format("{}: none of its templates is named \"default\"", where));
}

FoundTemplate find_template(Files& files, const std::string& folder) {
  const std::string own = join_path(folder, "chat_template.jinja");
  if (files.exists(own)) return {read_text(files, own, largest_template_file), own};
  const std::string config = join_path(folder, "tokenizer_config.json");
  if (files.exists(config)) {
    const auto root = parse_json(read_text(files, config, largest_template_file), config);
    const auto found = root.is_object() ? root.find(template_key) : root.end();
    if (found != root.end() && !found->is_null()) {
      const std::string where = fmt::format("{}: {}", config, template_key);
      return {template_in(*found, where), where};
    }
  }
  throw FormatError(
      fmt::format("{} has no chat template, neither in chat_template.jinja nor in "
                  "tokenizer_config.json: it may not be a model for chats; {}",
                  folder, give_finished_text));
}

}  // namespace

ChatTemplate::ChatTemplate(const ChatFormat& format, ChatTokens tokens, std::string where)
    : format_(&format), tokens_(std::move(tokens)), where_(std::move(where)) {}

std::string ChatTemplate::render(std::span<const ChatMessage> messages,
                                 const ChatSettings& settings) const {
  BITMILL_CHECK(!messages.empty(), FormatError, "a chat needs at least one message");
  for (const ChatMessage& message : messages) {
    const bool valid = first_invalid_utf8(message.role + message.content) == std::string::npos;
    BITMILL_CHECK(valid, FormatError, "a message is not UTF-8; convert it (iconv -t UTF-8)");
  }
  try {
    return format_->render(messages, tokens_, settings.asks_for_answer);
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{} ({}): {}", where_, format_->name, error.what()));
  }
}

ChatTemplate read_chat_template(Files& files, const std::string& folder) {
  const FoundTemplate found = find_template(files, folder);
  const ChatFormat* format = find_chat_format(found.text);
  BITMILL_CHECK(
      format != nullptr, FormatError,
      fmt::format("{} is not a chat template that bitmill knows (its text has the hash {}); known "
                  "are those of {}; render the messages with another tool, and {}",
                  found.where, chat_template_hash(found.text), known_chat_formats(),
                  give_finished_text));
  const TokenizerConfig config = read_tokenizer_config(files, folder);
  return ChatTemplate(*format, {config.bos_token.value_or(""), config.eos_token.value_or("")},
                      found.where);
}

std::vector<ChatMessage> read_chat_messages(const nlohmann::json& value, const std::string& where) {
  BITMILL_CHECK(value.is_array() && !value.empty(), FormatError,
                fmt::format("{}: messages must be a list with at least one message", where));
  std::vector<ChatMessage> messages;
  for (const auto& message : value) {
    const std::string here = fmt::format("{}, message {}", where, messages.size() + 1);
    BITMILL_CHECK(message.is_object(), FormatError,
                  fmt::format("{}: must be an object with role and content", here));
    for (const char* key : {"tool_calls", "reasoning_content"}) {
      BITMILL_CHECK(!message.contains(key) || message.at(key).is_null(), FormatError,
                    fmt::format("{}: \"{}\" is not rendered; leave such chats out, or render them "
                                "with another tool",
                                here, key));
    }
    messages.push_back({json_string(message, "role", here), json_string(message, "content", here)});
  }
  return messages;
}

}  // namespace bitmill
