#include "infer/generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <limits>

#include "base/error.hpp"
#include "base/pieces.hpp"
#include "base/stopwatch.hpp"

namespace bitmill {
namespace {

class Generation {
 public:
  Generation(const ResidentModel& model, Session& session, const Tokenizer& tokenizer,
             std::span<const int32_t> prompt, const GenerateSettings& settings,
             const TextListener& listener, ThreadPool& pool)
      : model_(model),
        session_(session),
        listener_(listener),
        pool_(pool),
        sampler_(settings.sampler, prompt, model.config().vocab_size),
        text_(tokenizer, prompt, settings) {
    result_.prompt_tokens = std::ssize(prompt);
  }

  Generated run(std::span<const int32_t> prompt) {
    Stopwatch watch;
    at::Tensor x;
    for_pieces(std::ssize(prompt), tokens_per_pass, [&](int64_t first, int64_t count) {
      x = model_.forward(session_, prompt.subspan(first, count), pool_);  // the last one is kept
    });
    at::Tensor logits = model_.logits(x.narrow(0, x.size(0) - 1, 1), pool_);
    result_.prefill_seconds = watch.seconds();
    watch = Stopwatch();
    while (true) {
      const int32_t id = take(logits);
      show(text_.push(id, session_.length < session_.cache.positions()));
      if (text_.finish()) break;
      logits = model_.logits(model_.forward(session_, {&id, 1}, pool_), pool_);
      ++result_.decode_tokens;
    }
    result_.decode_seconds = watch.seconds();
    result_.finish = *text_.finish();
    return std::move(result_);
  }

 private:
  int32_t take(const at::Tensor& logits) {
    const int32_t id = sampler_.pick(
        {logits.const_data_ptr<float>(), static_cast<size_t>(model_.config().vocab_size)});
    result_.ids.push_back(id);
    return id;
  }

  void show(const std::string& text) {
    if (text.empty()) return;
    result_.text += text;
    if (listener_) listener_(text);
  }

  const ResidentModel& model_;
  Session& session_;
  const TextListener& listener_;
  ThreadPool& pool_;
  Sampler sampler_;
  WrittenText text_;
  Generated result_;
};

}  // namespace

double Generated::prefill_tokens_per_s() const {
  return static_cast<double>(prompt_tokens) / prefill_seconds;
}

double Generated::decode_tokens_per_s() const {
  if (decode_tokens == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(decode_tokens) / decode_seconds;
}

Generated generate(const ResidentModel& model, Session& session, const Tokenizer& tokenizer,
                   std::span<const int32_t> prompt, const GenerateSettings& settings,
                   const TextListener& listener, ThreadPool& pool) {
  assert(!prompt.empty() && session.length == 0);
  return Generation(model, session, tokenizer, prompt, settings, listener, pool).run(prompt);
}

void check_prompt(const ModelConfig& config, const std::string& folder,
                  std::span<const int32_t> prompt, int64_t positions) {
  BITMILL_CHECK(!prompt.empty(), UsageError,
                fmt::format("the prompt has no tokens, and the tokenizer of {} adds none: give a "
                            "text",
                            folder));
  const auto foreign =
      std::ranges::find_if(prompt, [&](int32_t id) { return id < 0 || id >= config.vocab_size; });
  BITMILL_CHECK(foreign == prompt.end(), UsageError,
                fmt::format("the tokenizer of {} gives token {} for the prompt, and the model's "
                            "vocabulary is [0, {}): the tokenizer is another model's; copy the one "
                            "that belongs to these weights",
                            folder, *foreign, config.vocab_size));
  BITMILL_CHECK(
      std::ssize(prompt) <= positions, UsageError,
      fmt::format("the prompt has {} tokens, which is more than {}; {}", prompt.size(),
                  positions < config.context
                      ? fmt::format("--context {}", positions)
                      : fmt::format("the context of {}, {}", folder, config.context),
                  std::ssize(prompt) <= config.context
                      ? fmt::format("the model's context is {}: raise --context", config.context)
                      : fmt::format("shorten it by {} tokens at least",
                                    std::ssize(prompt) - config.context)));
}

}  // namespace bitmill
