#pragma once
// What the server says, as JSON of the OpenAI API.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "serve/api_request.hpp"
#include "serve/served_model.hpp"
#include "serve/text_answers.hpp"

namespace bitmill {

std::string error_answer(const RequestError& error);
std::string models_answer(const ServedModel& model, int64_t created);
std::string tokenizer_answer(const ServedModel& model);
std::string tokens_answer(const ServedModel& model, const std::vector<int32_t>& ids);
std::string detokenized_answer(const std::string& text);

// The answer to one request for texts, whole or in parts.
class TextAnswer {
 public:
  // `id`, `created` (seconds since 1970) name the answer. `tasks`: those of the request. The model
  // must outlive this object.
  TextAnswer(const ServedModel& model, TextRequest request, const std::vector<TextTask>& tasks,
             std::string id, int64_t created);

  // Takes in what happened. REQUIRES: no failure.
  void add(const TextNews& news);
  bool is_done() const;  // all texts have ended

  // REQUIRES: is_done().
  std::string whole() const;

  // The events of a stream, each with the blank line that ends it.
  std::string first_events() const;
  std::string events_of(const TextNews& news);
  std::string last_events() const;  // REQUIRES: is_done()

 private:
  struct Text {
    std::string shown;  // with echo, the prompt's comes first
    std::vector<TokenScore> scores = {};
    int64_t prompt_tokens = 0;
    int64_t tokens = 0;
    int64_t offset = 0;  // characters of the tokens in parts that were sent
    std::optional<Finish> finish = std::nullopt;
  };

  nlohmann::ordered_json head(bool part) const;
  nlohmann::ordered_json choice(size_t index) const;
  nlohmann::ordered_json part_choice(const TextNews& news);
  nlohmann::ordered_json scores_of(const std::vector<TokenScore>& scores, int64_t& offset) const;
  nlohmann::ordered_json completion_scores(const std::vector<TokenScore>& scores,
                                           int64_t& offset) const;
  nlohmann::ordered_json chat_scores(const std::vector<TokenScore>& scores) const;
  nlohmann::ordered_json usage() const;
  std::string event(nlohmann::ordered_json choices) const;

  const ServedModel& model_;
  const TextRequest request_;
  const std::string id_;
  const int64_t created_;
  std::vector<Text> texts_;
};

}  // namespace bitmill
