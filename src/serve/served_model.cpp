#include "serve/served_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "infer/end_tokens.hpp"
#include "serve/request_error.hpp"

namespace bitmill {
namespace {

// Log-probabilities of one answer. Each takes about 200 bytes until the answer is sent.
constexpr int64_t most_scores = int64_t{1} << 18;

void check_scores(const std::vector<TextTask>& tasks) {
  int64_t scores = 0;
  for (const TextTask& task : tasks) {
    const int64_t scored =
        task.settings.max_tokens + (task.scores_prompt ? std::ssize(task.prompt) : 0);
    scores += scored * (1 + task.top_logprobs);  // top_logprobs -1: none
  }
  if (scores <= most_scores) return;
  throw RequestError(http_status::bad_request, "logprobs",
                     fmt::format("the request asks for up to {} log-probabilities, and may ask for "
                                 "{}: send fewer texts at once, or ask for fewer of each token",
                                 scores, most_scores));
}

}  // namespace

ServedModel::ServedModel(Files& files, const std::string& folder, const ModelConfig& config,
                         std::string name, int64_t positions)
    : name_(std::move(name)),
      positions_(positions),
      vocab_size_(config.vocab_size),
      tokenizer_(open_tokenizer(files, folder)),
      tokenizer_config_(read_tokenizer_config(files, folder)),
      end_tokens_(read_end_tokens(files, folder, config.vocab_size)) {
  try {
    chat_ = read_chat_template(files, folder);
  } catch (const FormatError& error) {
    no_chat_reason_ = error.what();
  }
}

void ServedModel::check_name(const std::optional<std::string>& asked) const {
  if (!asked || *asked == name_) return;
  throw RequestError(http_status::not_found, "model",
                     fmt::format("this server has one model, \"{}\", and no \"{}\": name that one, "
                                 "or leave \"model\" out",
                                 name_, asked->substr(0, 200)));
}

std::vector<TextTask> ServedModel::tasks_of(const TextRequest& request) const {
  std::vector<TextTask> tasks;
  if (request.chat) {
    tasks.push_back(task_of(request, chat_prompt(request)));
  } else {
    for (const Prompt& prompt : request.prompts) {
      const auto* text = std::get_if<std::string>(&prompt);
      tasks.push_back(task_of(request, text != nullptr ? encode(*text, /*add_special=*/true)
                                                       : std::get<std::vector<int32_t>>(prompt)));
    }
  }
  // With one seed, the texts of equal prompts would be equal.
  for (size_t i = 0; i < tasks.size(); ++i) tasks[i].settings.sampler.seed += i;
  check_scores(tasks);
  return tasks;
}

std::vector<int32_t> ServedModel::encode(const std::string& text, bool add_special) const {
  try {
    return tokenizer_->encode(text, add_special);
  } catch (const FormatError& error) {
    throw RequestError(http_status::bad_request, "", error.what());
  }
}

void ServedModel::check_ids(const std::vector<int32_t>& ids, const std::string& field) const {
  const auto foreign =
      std::ranges::find_if(ids, [&](int32_t id) { return id < 0 || id >= vocab_size_; });
  if (foreign == ids.end()) return;
  throw RequestError(http_status::bad_request, field,
                     fmt::format("\"{}\" has token {}, and the vocabulary of \"{}\" is [0, {})",
                                 field, *foreign, name_, vocab_size_));
}

std::vector<int32_t> ServedModel::chat_prompt(const TextRequest& request) const {
  if (!chat_) {
    throw RequestError(
        http_status::bad_request, "messages",
        fmt::format("\"{}\" cannot chat here, because its folder has no chat template "
                    "that is known; send a rendered text to /v1/completions",
                    name_));
  }
  std::string text;
  try {
    text = chat_->render(request.messages, {.asks_for_answer = true});
  } catch (const FormatError& error) {
    throw RequestError(http_status::bad_request, "messages", error.what());
  }
  return encode(text, /*add_special=*/false);  // which the template has written
}

TextTask ServedModel::task_of(const TextRequest& request, std::vector<int32_t> prompt) const {
  const std::string field = request.chat ? "messages" : "prompt";
  check_ids(prompt, field);
  const int64_t length = std::ssize(prompt);
  // The last token that is written needs no position: the model never sees it.
  const int64_t room = positions_ - length + 1;
  if (length == 0) {
    throw RequestError(http_status::bad_request, field,
                       fmt::format("\"{}\" has no tokens: give a text", field));
  }
  if (length > positions_ || request.max_tokens.value_or(1) > room) {
    const std::string wanted =
        request.max_tokens ? fmt::format(", and \"max_tokens\" is {}", *request.max_tokens) : "";
    throw RequestError(
        http_status::bad_request, field,
        fmt::format(
            "\"{}\" has {} tokens{}; this server has room for {} in all: shorten it, or ask "
            "for less",
            field, length, wanted, positions_));
  }
  TextTask task{.prompt = std::move(prompt),
                .settings = {.max_tokens = request.max_tokens.value_or(room),
                             .sampler = request.sampler,
                             .end_tokens = end_tokens_,
                             .stop_texts = request.stop_texts,
                             .continues_prompt = !request.chat},
                .top_logprobs = request.top_logprobs,
                .scores_prompt = request.echo && request.top_logprobs >= 0};
  return task;
}

}  // namespace bitmill
