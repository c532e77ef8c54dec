#include "data/chat_renderers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

using Messages = std::span<const ChatMessage>;

// What Python's str.strip() takes away, which templates call by this name or as the filter `trim`.
bool is_python_space(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_python_space(decode_utf8(text))) {
    text.remove_prefix(utf8_char_bytes(text));
  }
  while (!text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && (static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
    if (!is_python_space(decode_utf8(text.substr(last)))) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string_view without_newlines_before(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
  return text;
}

std::string_view without_newlines_after(std::string_view text) {
  const size_t last = text.find_last_not_of('\n');
  return text.substr(0, last == text.npos ? 0 : last + 1);
}

[[noreturn]] void refuse_messages(const std::string& reason) {
  throw FormatError("the chat template does not take these messages: " + reason);
}

// user, assistant, user, ... Other roles pass in the assistant's place, as in the templates.
void check_turns(Messages messages, std::string_view template_words) {
  for (size_t i = 0; i < messages.size(); ++i) {
    if ((messages[i].role == "user") == (i % 2 == 0)) continue;
    refuse_messages(fmt::format("{}; message {} of these is of the role \"{}\"", template_words,
                                i + 1, messages[i].role));
  }
}

std::string im_turn(std::string_view role, std::string_view content) {
  return fmt::format("<|im_start|>{}\n{}<|im_end|>\n", role, content);
}

constexpr std::string_view im_answer = "<|im_start|>assistant\n";

}  // namespace

std::string render_chatml(Messages messages, const ChatTokens&, bool asks) {
  std::string text;
  for (const ChatMessage& message : messages) text += im_turn(message.role, message.content);
  if (asks) text += im_answer;
  return text;
}

namespace {

std::string chatml_with_system(Messages messages, bool asks, std::string_view system) {
  std::string text;
  if (messages.front().role != "system") text = im_turn("system", system);
  return text + render_chatml(messages, {}, asks);
}

}  // namespace

std::string render_smollm2(Messages messages, const ChatTokens&, bool asks) {
  return chatml_with_system(messages, asks,
                            "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
}

std::string render_qwen2(Messages messages, const ChatTokens&, bool asks) {
  return chatml_with_system(messages, asks, "You are a helpful assistant.");
}

namespace {

// A run of results of tools is one turn of the user.
std::string qwen_tool_result(Messages messages, size_t i) {
  const bool begins = i == 0 || messages[i - 1].role != "tool";
  const bool ends = i + 1 == messages.size() || messages[i + 1].role != "tool";
  return fmt::format("{}\n<tool_response>\n{}\n</tool_response>{}",
                     begins ? "<|im_start|>user" : "", messages[i].content,
                     ends ? "<|im_end|>\n" : "");
}

// What Qwen 2.5 and 3 do alike; `answer` renders message i, which is of the assistant. Messages of
// unknown roles are left out by their templates.
template <class Answer>
std::string render_qwen(Messages messages, bool asks, const Answer& answer) {
  std::string text;
  for (size_t i = 0; i < messages.size(); ++i) {
    const auto& [role, content] = messages[i];
    if (role == "user" || role == "system") {
      text += im_turn(role, content);
    } else if (role == "assistant") {
      text += answer(i);
    } else if (role == "tool") {
      text += qwen_tool_result(messages, i);
    }
  }
  if (asks) text += im_answer;
  return text;
}

}  // namespace

std::string render_qwen25(Messages messages, const ChatTokens&, bool asks) {
  std::string text;
  if (messages.front().role != "system") {
    text =
        im_turn("system", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
  }
  return text + render_qwen(messages, asks,
                            [&](size_t i) { return im_turn("assistant", messages[i].content); });
}

namespace {

// The last message of a user that is no result of a tool; where there is none, the last message.
size_t last_question(Messages messages) {
  for (size_t i = messages.size(); i-- > 0;) {
    const auto& [role, content] = messages[i];
    const bool is_result =
        content.starts_with("<tool_response>") && content.ends_with("</tool_response>");
    if (role == "user" && !is_result) return i;
  }
  return messages.size() - 1;
}

// Thoughts are written only after the last question.
std::string qwen3_answer(Messages messages, size_t i, size_t question) {
  constexpr std::string_view begin = "<think>", end = "</think>";
  std::string_view content = messages[i].content, thoughts;
  if (const size_t first_end = content.find(end); first_end != content.npos) {
    thoughts = without_newlines_after(content.substr(0, first_end));
    const size_t last_begin = thoughts.rfind(begin);
    if (last_begin != thoughts.npos) thoughts.remove_prefix(last_begin + begin.size());
    thoughts = without_newlines_before(thoughts);
    content = without_newlines_before(content.substr(content.rfind(end) + end.size()));
  }
  const bool is_last = i + 1 == messages.size();
  if (i <= question || !(is_last || !thoughts.empty())) return im_turn("assistant", content);
  return im_turn("assistant",
                 fmt::format("<think>\n{}\n</think>\n\n{}", without_newlines_after(thoughts),
                             without_newlines_before(content)));
}

}  // namespace

std::string render_qwen3(Messages messages, const ChatTokens&, bool asks) {
  const size_t question = last_question(messages);
  return render_qwen(messages, asks, [&](size_t i) { return qwen3_answer(messages, i, question); });
}

std::string render_llama2(Messages messages, const ChatTokens& tokens, bool) {
  std::string system;
  if (messages.front().role == "system") {
    system = fmt::format("<<SYS>>\n{}\n<</SYS>>\n\n", messages.front().content);
    messages = messages.subspan(1);
  }
  check_turns(messages, "after the system message, user and assistant must take turns");
  std::string text;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string content = (i == 0 ? system : "") + messages[i].content;
    if (messages[i].role == "user") {
      text += fmt::format("{}[INST] {} [/INST]", tokens.bos, trimmed(content));
    } else if (messages[i].role == "assistant") {
      text += fmt::format(" {} {}", trimmed(content), tokens.eos);
    }
  }
  return text;
}

namespace {

std::string llama3_turn(std::string_view role, std::string_view content) {
  return fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", role, content);
}

constexpr std::string_view llama3_answer = "<|start_header_id|>assistant<|end_header_id|>\n\n";

}  // namespace

std::string render_llama3(Messages messages, const ChatTokens& tokens, bool asks) {
  std::string text = tokens.bos;
  for (const ChatMessage& message : messages) {
    text += llama3_turn(message.role, trimmed(message.content));
  }
  if (asks) text += llama3_answer;
  return text;
}

std::string render_llama3_asking(Messages messages, const ChatTokens& tokens, bool) {
  return render_llama3(messages, tokens, true);
}

std::string render_llama31(Messages messages, const ChatTokens& tokens, bool asks) {
  std::string_view system;
  if (messages.front().role == "system") {
    system = trimmed(messages.front().content);
    messages = messages.subspan(1);
  }
  std::string text =
      tokens.bos +
      llama3_turn(
          "system",
          fmt::format("Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n{}",
                      system));
  for (const auto& [role, content] : messages) {
    const bool is_result = role == "tool" || role == "ipython";
    text += is_result ? llama3_turn("ipython", nlohmann::json(content).dump())
                      : llama3_turn(role, trimmed(content));
  }
  if (asks) text += llama3_answer;
  return text;
}

namespace {

// The forms of Mistral's template differ in blanks alone.
struct MistralBlanks {
  std::string_view before_question;
  std::string_view before_answer;
  std::string_view after_answer;
};

std::string render_mistral(Messages messages, const ChatTokens& tokens, std::string_view system,
                           const MistralBlanks& blanks) {
  std::string text = tokens.bos;
  for (const auto& [role, content] : messages) {
    if (role == "user") {
      text += fmt::format("{}[INST] {}{} [/INST]", blanks.before_question, system, content);
      system = {};
    } else if (role == "assistant") {
      text +=
          fmt::format("{}{}{}{}", blanks.before_answer, content, tokens.eos, blanks.after_answer);
    } else {
      refuse_messages(fmt::format("the role \"{}\" is not one that it knows", role));
    }
  }
  return text;
}

constexpr std::string_view turns_of_mistral = "user and assistant must take turns, the user first";

}  // namespace

std::string render_mistral_v01_first(Messages messages, const ChatTokens& tokens, bool) {
  check_turns(messages, turns_of_mistral);
  return render_mistral(messages, tokens, "", {"", "", " "});
}

std::string render_mistral_v02_first(Messages messages, const ChatTokens& tokens, bool) {
  check_turns(messages, turns_of_mistral);
  return render_mistral(messages, tokens, "", {"", "", ""});
}

std::string render_mistral_v01(Messages messages, const ChatTokens& tokens, bool) {
  std::string system;
  if (messages.front().role == "system") {
    system = messages.front().content + "\n\n";
    messages = messages.subspan(1);
  }
  check_turns(messages, turns_of_mistral);
  return render_mistral(messages, tokens, system, {" ", " ", ""});
}

}  // namespace bitmill
