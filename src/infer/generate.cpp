#include "infer/generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <optional>

#include "base/error.hpp"
#include "base/pieces.hpp"
#include "base/stopwatch.hpp"
#include "infer/stop_texts.hpp"

namespace bitmill {
namespace {

// The text of new tokens only, though they are decoded behind those of the prompt.
class NewText {
 public:
  NewText(const Tokenizer& tokenizer, std::span<const int32_t> prompt)
      : stream_(tokenizer.start_decoding(/*skip_special=*/true)) {
    size_t shown = 0;
    for (const int32_t id : prompt) shown += stream_->push(id).size();
    const std::vector<int32_t> ids(prompt.begin(), prompt.end());
    const size_t whole = tokenizer.decode(ids, /*skip_special=*/true).size();
    hidden_ = whole - std::min(whole, shown);
  }

  std::string push(int32_t id) { return without_hidden(stream_->push(id)); }
  std::string finish() { return without_hidden(stream_->finish()); }

 private:
  // The end of the prompt's text may come with the first new tokens.
  std::string without_hidden(std::string text) {
    const size_t cut = std::min(hidden_, text.size());
    hidden_ -= cut;
    return text.substr(cut);
  }

  std::unique_ptr<TextStream> stream_;
  size_t hidden_ = 0;  // bytes of the prompt that the stream still holds back
};

class Generation {
 public:
  Generation(const ResidentModel& model, Session& session, const Tokenizer& tokenizer,
             std::span<const int32_t> prompt, const GenerateSettings& settings,
             const TextListener& listener, ThreadPool& pool)
      : model_(model),
        session_(session),
        settings_(settings),
        listener_(listener),
        pool_(pool),
        sampler_(settings.sampler, prompt, model.config().vocab_size),
        text_(tokenizer, settings.continues_prompt ? prompt : prompt.subspan(0, 0)),
        stops_(settings.stop_texts) {
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
      if (const auto finish = finish_after(id)) {
        result_.finish = *finish;
        break;
      }
      logits = model_.logits(model_.forward(session_, {&id, 1}, pool_), pool_);
      ++result_.decode_tokens;
    }
    result_.decode_seconds = watch.seconds();
    if (result_.finish != Finish::stop_text) {
      show(stops_.push(text_.finish()));
      show(stops_.finish());
    }
    return std::move(result_);
  }

 private:
  int32_t take(const at::Tensor& logits) {
    const int32_t id = sampler_.pick(
        {logits.const_data_ptr<float>(), static_cast<size_t>(model_.config().vocab_size)});
    result_.ids.push_back(id);
    return id;
  }

  std::optional<Finish> finish_after(int32_t id) {
    if (std::ranges::find(settings_.end_tokens, id) != settings_.end_tokens.end()) {
      return Finish::end_token;
    }
    show(stops_.push(text_.push(id)));
    if (stops_.found()) return Finish::stop_text;
    if (std::ssize(result_.ids) == settings_.max_tokens) return Finish::max_tokens;
    if (session_.length == session_.cache.positions()) return Finish::no_room;
    return std::nullopt;
  }

  void show(const std::string& text) {
    if (text.empty()) return;
    result_.text += text;
    if (listener_) listener_(text);
  }

  const ResidentModel& model_;
  Session& session_;
  const GenerateSettings& settings_;
  const TextListener& listener_;
  ThreadPool& pool_;
  Sampler sampler_;
  NewText text_;
  StopTexts stops_;
  Generated result_;
};

}  // namespace

std::string_view name_of(Finish finish) {
  switch (finish) {
    case Finish::end_token:
      return "end";
    case Finish::stop_text:
      return "stop";
    case Finish::max_tokens:
      return "length";
    case Finish::no_room:
      return "context";
  }
  return {};
}

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
