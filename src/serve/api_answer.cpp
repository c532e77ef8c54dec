#include "serve/api_answer.hpp"

#include <algorithm>
#include <cassert>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/json.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

using nlohmann::ordered_json;

const char* type_of(int status) {
  switch (status) {
    case http_status::unauthorized:
      return "authentication_error";
    case http_status::unavailable:
      return "overloaded_error";
    default:
      return status >= http_status::failed ? "server_error" : "invalid_request_error";
  }
}

const char* finish_reason(Finish finish) {
  return finish == Finish::end_token || finish == Finish::stop_text ? "stop" : "length";
}

// A token on its own, special ones included.
std::string token_text(const Tokenizer& tokenizer, int32_t id) {
  return tokenizer.decode({id}, /*skip_special=*/false);
}

std::string prompt_text(const Tokenizer& tokenizer, const Prompt& prompt) {
  const auto* text = std::get_if<std::string>(&prompt);
  if (text != nullptr) return *text;
  return tokenizer.decode(std::get<std::vector<int32_t>>(prompt), /*skip_special=*/true);
}

// null: where the token has only a part of a character, its text has U+FFFD instead of its bytes.
ordered_json bytes_of(const std::string& text) {
  constexpr std::string_view no_character = "\xEF\xBF\xBD";
  if (text.find(no_character) != std::string::npos) return nullptr;
  ordered_json bytes = ordered_json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

}  // namespace

std::string error_answer(const RequestError& error) {
  ordered_json inner = {{"message", error.what()}, {"type", type_of(error.status())}};
  inner["param"] = error.field().empty() ? ordered_json(nullptr) : ordered_json(error.field());
  inner["code"] = error.status();
  return json_text({{"error", inner}});
}

std::string models_answer(const ServedModel& model, int64_t created) {
  const ordered_json one = {{"id", model.name()},
                            {"object", "model"},
                            {"created", created},
                            {"owned_by", "bitmill"},
                            {"max_model_len", model.positions()}};
  return json_text({{"object", "list"}, {"data", ordered_json::array({one})}});
}

std::string tokenizer_answer(const ServedModel& model) {
  const TokenizerConfig& config = model.tokenizer_config();
  ordered_json info = {{"tokenizer_class", config.tokenizer_class},
                       {"vocab_size", model.tokenizer().vocab_size()},
                       {"max_model_len", model.positions()}};
  if (config.bos_token) info["bos_token"] = *config.bos_token;
  if (config.eos_token) info["eos_token"] = *config.eos_token;
  return json_text(info);
}

std::string tokens_answer(const ServedModel& model, const std::vector<int32_t>& ids) {
  return json_text({{"count", ids.size()}, {"max_model_len", model.positions()}, {"tokens", ids}});
}

std::string detokenized_answer(const std::string& text) { return json_text({{"prompt", text}}); }

TextAnswer::TextAnswer(const ServedModel& model, TextRequest request,
                       const std::vector<TextTask>& tasks, std::string id, int64_t created)
    : model_(model), request_(std::move(request)), id_(std::move(id)), created_(created) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    Text text{.shown = request_.echo ? prompt_text(model_.tokenizer(), request_.prompts[i]) : ""};
    text.prompt_tokens = std::ssize(tasks[i].prompt);
    texts_.push_back(std::move(text));
  }
}

void TextAnswer::add(const TextNews& news) {
  assert(!news.failure);
  Text& text = texts_[news.index];
  text.shown += news.text;
  text.scores.insert(text.scores.end(), news.scores.begin(), news.scores.end());
  if (!news.finish) return;
  text.finish = news.finish;
  text.tokens = news.tokens;
}

bool TextAnswer::is_done() const {
  return std::ranges::all_of(texts_, [](const Text& text) { return text.finish.has_value(); });
}

std::string TextAnswer::whole() const {
  ordered_json answer = head(/*part=*/false);
  answer["choices"] = ordered_json::array();
  for (size_t i = 0; i < texts_.size(); ++i) answer["choices"].push_back(choice(i));
  answer["usage"] = usage();
  return json_text(answer);
}

ordered_json TextAnswer::head(bool part) const {
  const char* const object = !request_.chat ? "text_completion"
                             : part         ? "chat.completion.chunk"
                                            : "chat.completion";
  ordered_json answer = {
      {"id", id_}, {"object", object}, {"created", created_}, {"model", model_.name()}};
  // Without "seed" the server draws one: with it the text can be had again.
  // As a request may have it: a negative one, too.
  if (request_.sampler.temperature > 0) {
    answer["seed"] = static_cast<int64_t>(request_.sampler.seed);
  }
  return answer;
}

ordered_json TextAnswer::choice(size_t index) const {
  const Text& text = texts_[index];
  ordered_json one = {{"index", index}};
  if (request_.chat) {
    one["message"] = {{"role", "assistant"}, {"content", text.shown}};
  } else {
    one["text"] = text.shown;
  }
  int64_t offset = 0;
  one["logprobs"] = scores_of(text.scores, offset);
  one["finish_reason"] = finish_reason(*text.finish);
  return one;
}

ordered_json TextAnswer::part_choice(const TextNews& news) {
  ordered_json one = {{"index", news.index}};
  if (request_.chat) {
    one["delta"] =
        news.text.empty() ? ordered_json::object() : ordered_json{{"content", news.text}};
  } else {
    one["text"] = news.text;
  }
  one["logprobs"] = news.scores.empty() ? ordered_json(nullptr)
                                        : scores_of(news.scores, texts_[news.index].offset);
  one["finish_reason"] =
      news.finish ? ordered_json(finish_reason(*news.finish)) : ordered_json(nullptr);
  return one;
}

ordered_json TextAnswer::scores_of(const std::vector<TokenScore>& scores, int64_t& offset) const {
  if (request_.top_logprobs < 0) return nullptr;
  return request_.chat ? chat_scores(scores) : completion_scores(scores, offset);
}

ordered_json TextAnswer::completion_scores(const std::vector<TokenScore>& scores,
                                           int64_t& offset) const {
  const Tokenizer& tokenizer = model_.tokenizer();
  ordered_json tokens = ordered_json::array(), logprobs = ordered_json::array(),
               top = ordered_json::array(), offsets = ordered_json::array();
  for (const TokenScore& score : scores) {
    const std::string text = token_text(tokenizer, score.id);
    tokens.push_back(text);
    offsets.push_back(offset);
    offset += count_utf8_chars(text);
    logprobs.push_back(score.known ? ordered_json(score.logprob) : ordered_json(nullptr));
    ordered_json likely = ordered_json::object();
    // Tokens may have one text: of these the most likely is shown.
    for (const auto& other : score.likely) {
      likely.emplace(token_text(tokenizer, other.id), other.logprob);
    }
    likely.emplace(text, score.logprob);
    top.push_back(score.known ? likely : ordered_json(nullptr));
  }
  return {{"tokens", tokens},
          {"token_logprobs", logprobs},
          {"top_logprobs", top},
          {"text_offset", offsets}};
}

ordered_json TextAnswer::chat_scores(const std::vector<TokenScore>& scores) const {
  const Tokenizer& tokenizer = model_.tokenizer();
  const auto entry = [&](int32_t id, double logprob) -> ordered_json {
    const std::string text = token_text(tokenizer, id);
    return {{"token", text}, {"logprob", logprob}, {"bytes", bytes_of(text)}};
  };
  ordered_json content = ordered_json::array();
  for (const TokenScore& score : scores) {
    ordered_json one = entry(score.id, score.logprob);
    one["top_logprobs"] = ordered_json::array();
    for (const auto& other : score.likely) {
      one["top_logprobs"].push_back(entry(other.id, other.logprob));
    }
    content.push_back(one);
  }
  return {{"content", content}};
}

ordered_json TextAnswer::usage() const {
  int64_t prompt = 0, written = 0;
  for (const Text& text : texts_) {
    prompt += text.prompt_tokens;
    written += text.tokens;
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", written},
          {"total_tokens", prompt + written}};
}

std::string TextAnswer::event(ordered_json choices) const {
  ordered_json part = head(/*part=*/true);
  part["choices"] = std::move(choices);
  if (request_.stream_usage) part["usage"] = nullptr;
  return "data: " + json_text(part) + "\n\n";
}

std::string TextAnswer::first_events() const {
  std::string events;
  for (size_t i = 0; i < texts_.size(); ++i) {
    ordered_json one = {{"index", i}};
    if (request_.chat) {
      one["delta"] = {{"role", "assistant"}, {"content", ""}};
    } else if (request_.echo) {
      one["text"] = texts_[i].shown;
    } else {
      continue;
    }
    one["logprobs"] = nullptr;
    one["finish_reason"] = nullptr;
    events += event(ordered_json::array({one}));
  }
  return events;
}

std::string TextAnswer::events_of(const TextNews& news) {
  return event(ordered_json::array({part_choice(news)}));
}

std::string TextAnswer::last_events() const {
  std::string events;
  if (request_.stream_usage) {
    ordered_json part = head(/*part=*/true);
    part["choices"] = ordered_json::array();
    part["usage"] = usage();
    events = "data: " + json_text(part) + "\n\n";
  }
  return events + "data: [DONE]\n\n";
}

}  // namespace bitmill
