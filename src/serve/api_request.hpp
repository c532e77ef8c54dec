#pragma once
// What clients ask for, read from the JSON of the OpenAI API. Pure: no sockets, no model. README.md
// lists every key. What is not understood is refused with a RequestError that names it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "data/chat_formats.hpp"
#include "infer/sampler.hpp"

namespace bitmill {

// A text, or its tokens.
using Prompt = std::variant<std::string, std::vector<int32_t>>;

// POST /v1/completions and /v1/chat/completions.
struct TextRequest {
  bool chat = false;
  std::optional<std::string> model;
  std::vector<Prompt> prompts;        // of a completion: one or more
  std::vector<ChatMessage> messages;  // of a chat: one or more
  // Nothing: of a chat, all that there is room for.
  std::optional<int64_t> max_tokens;
  SamplerSettings sampler;
  bool seed_given = false;
  std::vector<std::string> stop_texts;  // none empty
  // -1: no log-probabilities. Otherwise those of the chosen tokens, and of so many that are most
  // likely.
  int64_t top_logprobs = -1;
  bool echo = false;  // the prompt's text, and its log-probabilities, come first
  bool stream = false;
  bool stream_usage = false;
};

// POST /tokenize
struct TokenizeRequest {
  std::optional<std::string> model;
  std::string prompt;
  bool add_special = true;
};

// POST /detokenize
struct DetokenizeRequest {
  std::optional<std::string> model;
  std::vector<int32_t> tokens;  // 0 or more each; perhaps none of the model's
};

TextRequest read_completion(std::string_view body);
TextRequest read_chat(std::string_view body);
TokenizeRequest read_tokenize(std::string_view body);
DetokenizeRequest read_detokenize(std::string_view body);

}  // namespace bitmill
