#include "serve/api_request.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "data/chat_template.hpp"
#include "serve/request_error.hpp"
#include "serve/request_fields.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr int64_t api_max_tokens = 16;      // of a completion that does not say
constexpr int64_t most_tokens = INT32_MAX;  // whether there is room is found out later
constexpr int64_t most_prompts = 256;
constexpr int64_t most_stop_texts = 16;
constexpr int64_t most_top_logprobs = 20;  // of one token
constexpr size_t longest_stop = 1024;      // bytes: it is looked for after every token

bool is_id(const json& value) {
  return value.is_number_integer() && value >= 0 && value <= INT32_MAX;
}

std::vector<int32_t> read_ids(const json& list, const std::string& key) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const json& value : list) {
    if (!is_id(value)) refuse_value(key, "a list of token ids from 0 to 2147483647", value);
    ids.push_back(value.get<int32_t>());
  }
  return ids;
}

Prompt read_prompt(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  const std::string expected = "a text, a list of token ids, or a list of texts or of such lists";
  if (!value.is_array()) refuse_value("prompt", expected, value);
  return read_ids(value, "prompt");
}

std::vector<Prompt> read_prompts(const json* value) {
  if (value == nullptr) {
    throw RequestError(http_status::bad_request, "prompt", "\"prompt\" is missing");
  }
  const bool several = value->is_array() && !value->empty() && !value->front().is_number();
  if (!several) return {read_prompt(*value)};
  if (std::ssize(*value) > most_prompts) {
    throw RequestError(
        http_status::bad_request, "prompt",
        fmt::format("\"prompt\" has {} texts, and one request may have {}: send several requests",
                    value->size(), most_prompts));
  }
  std::vector<Prompt> prompts;
  for (const json& one : *value) prompts.push_back(read_prompt(one));
  return prompts;
}

// Templates look at roles and contents alone. What else would change an answer elsewhere is
// refused; "name" does not, with any of the templates that are known here.
void check_message_keys(const json& messages) {
  for (const json& message : messages) {
    if (!message.is_object()) continue;  // whoever reads it refuses it
    for (const auto& [key, part] : message.items()) {
      const bool known = key == "role" || key == "content" || key == "name";
      if (!known && !part.is_null()) refuse_value("messages", "made of role and content", message);
    }
  }
}

std::vector<ChatMessage> read_messages(const json* value) {
  if (value == nullptr) {
    throw RequestError(http_status::bad_request, "messages", "\"messages\" is missing");
  }
  try {
    std::vector<ChatMessage> messages = read_chat_messages(*value, "the body");
    check_message_keys(*value);
    return messages;
  } catch (const FormatError& error) {
    throw RequestError(http_status::bad_request, "messages", error.what());
  }
}

// A text or a list of texts.
std::vector<std::string> read_stop(RequestFields& fields) {
  const json* value = fields.find("stop");
  if (value == nullptr) return {};
  const json list = value->is_array() ? *value : json::array({*value});
  if (std::ssize(list) > most_stop_texts) {
    refuse_value("stop", fmt::format("at most {} texts", most_stop_texts), *value);
  }
  std::vector<std::string> texts;
  for (const json& text : list) {
    const size_t length = text.is_string() ? text.get_ref<const std::string&>().size() : 0;
    if (length == 0 || length > longest_stop) {
      refuse_value("stop", fmt::format("a text of 1 to {} bytes, or a list of such", longest_stop),
                   text);
    }
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

void read_sampler(RequestFields& fields, TextRequest& request) {
  constexpr double hottest = 1e3, strongest = 1e3, smallest = 1e-6;
  SamplerSettings& sampler = request.sampler;
  sampler.temperature = fields.number("temperature", 0, hottest).value_or(1);
  sampler.top_p = fields.number("top_p", smallest, 1).value_or(1);
  sampler.min_p = fields.number("min_p", 0, 1).value_or(0);
  sampler.top_k = fields.whole("top_k", -1, INT64_MAX).value_or(0);
  if (sampler.top_k == -1) sampler.top_k = 0;  // as other servers say "all"
  sampler.repetition_penalty = fields.number("repetition_penalty", smallest, strongest).value_or(1);
  const auto seed = fields.whole("seed", INT64_MIN, INT64_MAX);
  request.seed_given = seed.has_value();
  sampler.seed = static_cast<uint64_t>(seed.value_or(0));
}

// A key of the API for something that is not done here. Clients send many of them with the value
// that asks for nothing, which is accepted.
void accept_only(RequestFields& fields, const std::string& key, const std::vector<json>& harmless,
                 const std::string& instead) {
  const json* value = fields.find(key);
  if (value == nullptr) return;
  for (const json& one : harmless) {
    if (*value == one) return;
  }
  const std::string name = fields.name_of(key);
  throw RequestError(
      http_status::bad_request, name,
      fmt::format("\"{}\" = {} is not done by this server{}", name, shown_value(*value), instead));
}

// Keys that both endpoints have.
void read_common(RequestFields& fields, TextRequest& request) {
  request.model = fields.text("model");
  request.stop_texts = read_stop(fields);
  read_sampler(fields, request);
  request.stream = fields.is_on("stream");
  if (auto options = fields.object("stream_options")) {
    request.stream_usage = options->is_on("include_usage");
    accept_only(*options, "include_obfuscation", {false}, "");
    options->check_all_known();
    if (!request.stream) {
      refuse_value("stream_options", "left out without \"stream\"", *fields.find("stream_options"));
    }
  }
  const std::string penalty = "; \"repetition_penalty\" is";
  accept_only(fields, "presence_penalty", {0}, penalty);
  accept_only(fields, "frequency_penalty", {0}, penalty);
  accept_only(fields, "logit_bias", {json::object()}, "");
  accept_only(fields, "n", {1}, "; send the request several times, with a seed each");
  fields.text("user");  // says who asks: changes nothing of an answer
}

void read_chat_logprobs(RequestFields& fields, TextRequest& request) {
  const bool wanted = fields.is_on("logprobs");
  const auto top = fields.whole("top_logprobs", 0, most_top_logprobs);
  if (top.value_or(0) > 0 && !wanted) {
    throw RequestError(http_status::bad_request, "top_logprobs",
                       "\"top_logprobs\" has no effect without \"logprobs\": true");
  }
  if (wanted) request.top_logprobs = top.value_or(0);
}

void accept_harmless_of_chat(RequestFields& fields) {
  accept_only(fields, "tools", {json::array()}, "");
  accept_only(fields, "functions", {json::array()}, "");
  accept_only(fields, "tool_choice", {"none", "auto"}, "");
  accept_only(fields, "function_call", {"none", "auto"}, "");
  accept_only(fields, "parallel_tool_calls", {true, false}, "");
  accept_only(fields, "response_format", {json{{"type", "text"}}}, "");
  accept_only(fields, "modalities", {json::array({"text"})}, "");
  accept_only(fields, "store", {false}, ": nothing is kept");
  accept_only(fields, "service_tier", {"auto", "default"}, "");
  fields.text("safety_identifier");  // as "user"
  fields.text("prompt_cache_key");   // as "user"
}

}  // namespace

TextRequest read_completion(std::string_view body) {
  RequestFields fields(body);
  TextRequest request;
  request.prompts = read_prompts(fields.find("prompt"));
  read_common(fields, request);
  request.echo = fields.is_on("echo");
  request.top_logprobs = fields.whole("logprobs", 0, most_top_logprobs).value_or(-1);
  request.max_tokens =
      fields.whole("max_tokens", request.echo ? 0 : 1, most_tokens).value_or(api_max_tokens);
  accept_only(fields, "best_of", {1}, "");
  accept_only(fields, "suffix", {""}, "");
  fields.check_all_known();
  return request;
}

TextRequest read_chat(std::string_view body) {
  RequestFields fields(body);
  TextRequest request;
  request.chat = true;
  request.messages = read_messages(fields.find("messages"));
  read_common(fields, request);
  read_chat_logprobs(fields, request);
  const auto older = fields.whole("max_tokens", 1, most_tokens);
  request.max_tokens = fields.whole("max_completion_tokens", 1, most_tokens);
  if (older && request.max_tokens && *older != *request.max_tokens) {
    throw RequestError(http_status::bad_request, "max_tokens",
                       fmt::format("\"max_tokens\" is {} and \"max_completion_tokens\" {}: give "
                                   "one of them",
                                   *older, *request.max_tokens));
  }
  if (older) request.max_tokens = older;
  accept_harmless_of_chat(fields);
  fields.check_all_known();
  return request;
}

TokenizeRequest read_tokenize(std::string_view body) {
  RequestFields fields(body);
  TokenizeRequest request;
  request.model = fields.text("model");
  const auto prompt = fields.text("prompt");
  if (!prompt) throw RequestError(http_status::bad_request, "prompt", "\"prompt\" is missing");
  request.prompt = *prompt;
  request.add_special = fields.flag("add_special_tokens").value_or(true);
  fields.check_all_known();
  return request;
}

DetokenizeRequest read_detokenize(std::string_view body) {
  RequestFields fields(body);
  DetokenizeRequest request;
  request.model = fields.text("model");
  const json* tokens = fields.find("tokens");
  if (tokens == nullptr) {
    throw RequestError(http_status::bad_request, "tokens", "\"tokens\" is missing");
  }
  if (!tokens->is_array()) refuse_value("tokens", "a list of token ids", *tokens);
  request.tokens = read_ids(*tokens, "tokens");
  fields.check_all_known();
  return request;
}

}  // namespace bitmill
