#include "serve/text_batch.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <cassert>
#include <exception>
#include <utility>

#include "base/pieces.hpp"
#include "infer/sampler.hpp"

namespace bitmill {
namespace {

// Rows of logits that exist at once: a vocabulary is large.
constexpr int64_t rows_at_once = 32;

RequestError failure_of(const std::exception_ptr& error) {
  std::string words = "an error without words";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    words = known.what();
  } catch (...) {
  }
  return {http_status::failed, "", words};
}

}  // namespace

// A text that is in the batch.
struct TextBatch::Text {
  Text(const Tokenizer& tokenizer, int64_t vocab_size, TextTask what,
       std::shared_ptr<TextListening> who, uint64_t when)
      : task(std::move(what)),
        listener(std::move(who)),
        number(when),
        sampler(task.settings.sampler, task.prompt, vocab_size),
        written(tokenizer, task.prompt, task.settings) {
    if (task.scores_prompt) first_scores.push_back({.id = task.prompt.front()});
  }

  bool in_prompt() const { return fed < task.prompt.size(); }
  bool writes() const { return task.settings.max_tokens > 0; }

  TextTask task;
  std::shared_ptr<TextListening> listener;
  uint64_t number;  // of its join()
  Sampler sampler;
  WrittenText written;
  size_t fed = 0;    // tokens of the prompt that the model has seen
  int32_t next = 0;  // the token that was written last, which the model sees next
  std::vector<TokenScore> first_scores;  // of the prompt's first token, until the first on_text()
};

struct TextBatch::Place {
  Place(const ModelConfig& config, int64_t positions) : session(config, positions) {}

  Session session;
  std::unique_ptr<Text> text;  // null: free
};

// What a step feeds of one text.
struct TextBatch::Part {
  Place* place;
  std::span<const int32_t> ids;
  bool prompt;
};

// A position whose logits are looked at.
struct TextBatch::Row {
  Text* text = nullptr;
  int64_t at = 0;      // the row of the step's outputs
  bool picks = false;  // the text's next token is picked from it; else `score` is of `known`
  int32_t id = 0;      // the token that is scored, or that was picked
  TokenScore score = {};
  std::exception_ptr error = nullptr;
};

TextBatch::TextBatch(const ResidentModel& model, const Tokenizer& tokenizer, int64_t places,
                     int64_t positions)
    : model_(model), tokenizer_(tokenizer) {
  for (int64_t i = 0; i < places; ++i) {
    places_.push_back(std::make_unique<Place>(model.config(), positions));
  }
}

TextBatch::~TextBatch() = default;

int64_t TextBatch::places() const { return std::ssize(places_); }

bool TextBatch::is_full() const { return size() == places(); }

int64_t TextBatch::size() const {
  return std::ranges::count_if(places_, [](const auto& place) { return place->text != nullptr; });
}

int64_t TextBatch::cache_bytes() const {
  int64_t bytes = 0;
  for (const auto& place : places_) bytes += place->session.cache.bytes();
  return bytes;
}

void TextBatch::join(TextTask task, std::shared_ptr<TextListening> listener) {
  assert(!task.prompt.empty());
  assert(!task.scores_prompt || task.top_logprobs >= 0);
  const auto free = std::ranges::find_if(places_, [](const auto& place) { return !place->text; });
  assert(free != places_.end());
  Place& place = **free;
  assert(std::ssize(task.prompt) <= place.session.cache.positions());
  place.session.length = 0;
  place.text = std::make_unique<Text>(tokenizer_, model_.config().vocab_size, std::move(task),
                                      std::move(listener), joined_++);
}

TextBatch::Step TextBatch::step(ThreadPool& pool) {
  const at::NoGradGuard no_grad;
  step_ = {};
  drop_unwanted();
  const std::vector<Part> parts = next_parts();
  if (!parts.empty()) take_parts(parts, pool);
  return step_;
}

void TextBatch::take_parts(std::span<const Part> parts, ThreadPool& pool) {
  std::vector<Row> rows;
  try {
    rows = compute(parts, pool);
  } catch (...) {
    if (parts.size() == 1) return fail(*parts.front().place, failure_of(std::current_exception()));
    // It is not known whose fault it is: one by one.
    for (const Part& part : parts) take_parts({&part, 1}, pool);
    return;
  }
  size_t first = 0;
  for (const Part& part : parts) {
    const Text* const text = part.place->text.get();
    size_t count = 0;
    while (first + count < rows.size() && rows[first + count].text == text) ++count;
    try {
      finish_part(part, std::span(rows).subspan(first, count));
    } catch (...) {
      if (part.place->text) fail(*part.place, failure_of(std::current_exception()));
    }
    first += count;
  }
}

void TextBatch::drop_unwanted() {
  for (const auto& place : places_) {
    if (place->text && !place->text->listener->still_wanted()) place->text.reset();
  }
}

// Texts that are being written come first: they wait for one token each. What is left of a pass
// goes to prompts, the oldest first.
std::vector<TextBatch::Part> TextBatch::next_parts() const {
  std::vector<Part> parts;
  std::vector<Place*> prompts;
  for (const auto& place : places_) {
    if (!place->text) continue;
    if (place->text->in_prompt()) {
      prompts.push_back(place.get());
    } else {
      parts.push_back({place.get(), {&place->text->next, 1}, false});
    }
  }
  std::ranges::sort(prompts, {}, [](const Place* place) { return place->text->number; });
  int64_t left = std::max<int64_t>(1, tokens_per_pass - std::ssize(parts));
  for (Place* place : prompts) {
    if (left == 0) break;
    const auto rest = std::span<const int32_t>(place->text->task.prompt).subspan(place->text->fed);
    const auto ids = rest.first(static_cast<size_t>(std::min(left, std::ssize(rest))));
    parts.push_back({place, ids, true});
    left -= std::ssize(ids);
  }
  return parts;
}

// When it throws, no session has seen the tokens, and no sampler has picked.
std::vector<TextBatch::Row> TextBatch::compute(std::span<const Part> parts,
                                               ThreadPool& pool) const {
  std::vector<NewTokens> tokens;
  for (const Part& part : parts) tokens.push_back({&part.place->session, part.ids});
  std::vector<Row> rows = rows_of(parts);
  const at::Tensor outputs = model_.forward_together(tokens, pool);
  for_pieces(std::ssize(rows), rows_at_once, [&](int64_t at, int64_t count) {
    look_at({rows.data() + at, static_cast<size_t>(count)}, outputs, pool);
  });
  return rows;
}

// outputs [sum of the parts' ids, hidden]. What goes wrong is kept in the row.
void TextBatch::look_at(std::span<Row> rows, const at::Tensor& outputs, ThreadPool& pool) const {
  at::Tensor logits;
  try {
    std::vector<at::Tensor> inputs;
    for (const Row& row : rows) inputs.push_back(outputs.narrow(0, row.at, 1));
    logits = model_.logits(at::cat(inputs), pool);
  } catch (...) {
    if (rows.size() == 1) {
      rows.front().error = std::current_exception();
      return;
    }
    for (size_t i = 0; i < rows.size(); ++i) look_at(rows.subspan(i, 1), outputs, pool);
    return;
  }
  take_logits(rows, logits, pool);
}

// Which of the step's outputs [sum of the parts' ids, hidden] are looked at, part after part.
std::vector<TextBatch::Row> TextBatch::rows_of(std::span<const Part> parts) {
  std::vector<Row> rows;
  int64_t first = 0;
  for (const Part& part : parts) {
    Text& text = *part.place->text;
    const int64_t count = std::ssize(part.ids);
    const bool ends_prompt = part.prompt && text.fed + part.ids.size() == text.task.prompt.size();
    if (part.prompt && text.task.scores_prompt) {
      const int64_t scored = ends_prompt ? count - 1 : count;
      for (int64_t i = 0; i < scored; ++i) {
        rows.push_back({&text, first + i, false, text.task.prompt[text.fed + i + 1]});
      }
    }
    if (text.writes() && (!part.prompt || ends_prompt)) {
      rows.push_back({&text, first + count - 1, true});
    }
    first += count;
  }
  return rows;
}

// logits [rows, vocab]. A text picks at most once in a step, so no two tasks touch one sampler.
void TextBatch::take_logits(std::span<Row> rows, const at::Tensor& logits, ThreadPool& pool) const {
  const auto vocab = static_cast<size_t>(logits.size(1));
  const float* all = logits.const_data_ptr<float>();
  pool.parallel_for(std::ssize(rows), [&](int64_t i) {
    Row& row = rows[i];
    const std::span<const float> values(all + static_cast<size_t>(i) * vocab, vocab);
    try {
      if (row.picks) row.id = row.text->sampler.pick(values);
      const int64_t top = row.text->task.top_logprobs;
      if (top >= 0) row.score = score_token(values, row.id, top);
    } catch (...) {
      row.error = std::current_exception();
    }
  });
}

void TextBatch::finish_part(const Part& part, std::span<Row> rows) {
  Place& place = *part.place;
  Text& text = *place.text;
  if (part.prompt) {
    step_.prompt_tokens += std::ssize(part.ids);
    text.fed += part.ids.size();
  }
  std::vector<TokenScore> scores = std::exchange(text.first_scores, {});
  std::string shown;
  for (Row& row : rows) {
    if (row.error) return fail(place, failure_of(row.error));
    if (text.task.top_logprobs >= 0) scores.push_back(std::move(row.score));
    if (!row.picks) continue;
    ++step_.new_tokens;
    text.next = row.id;
    shown = text.written.push(row.id, place.session.length < place.session.cache.positions());
  }
  const bool only_scored = !text.writes() && !text.in_prompt();
  const auto finish =
      only_scored ? std::optional<Finish>(Finish::max_tokens) : text.written.finish();
  if (!shown.empty() || !scores.empty()) {
    text.listener->on_text(std::move(shown), std::move(scores));
  }
  if (!finish) return;
  text.listener->on_end(*finish, text.written.tokens());
  place.text.reset();
}

void TextBatch::fail(Place& place, const RequestError& why) {
  place.text->listener->on_failure(why);
  place.text.reset();
}

void TextBatch::fail_all(const RequestError& why) {
  for (const auto& place : places_) {
    if (place->text) fail(*place, why);
  }
}

}  // namespace bitmill
