#pragma once
// From a prompt to a text, token by token.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.hpp"
#include "data/tokenizer.hpp"
#include "infer/resident_model.hpp"
#include "infer/written_text.hpp"

namespace bitmill {

struct Generated {
  std::vector<int32_t> ids;  // what was generated, the end token included; no prompt
  std::string text;          // of these, without special tokens and without the stop text
  Finish finish = Finish::max_tokens;
  int64_t prompt_tokens = 0;
  double prefill_seconds = 0;  // the prompt, up to the logits of the first new token
  int64_t decode_tokens = 0;   // passes of one token: one fewer than ids, as the last is not fed in
  double decode_seconds = 0;

  double prefill_tokens_per_s() const;
  double decode_tokens_per_s() const;  // NaN when there was no such pass
};

// Hears the text as it comes, in whole characters. It may throw, which ends the generation.
using TextListener = std::function<void(std::string_view)>;

// `prompt` holds at least one token and fits the session, which must be empty. NumericError when
// the model's logits are not finite.
Generated generate(const ResidentModel& model, Session& session, const Tokenizer& tokenizer,
                   std::span<const int32_t> prompt, const GenerateSettings& settings,
                   const TextListener& listener, ThreadPool& pool);

// UsageError, with figures, when `prompt` is empty, has a token that the model does not have, or
// has more tokens than `positions`, which is at most the context. `folder` is named in the message.
void check_prompt(const ModelConfig& config, const std::string& folder,
                  std::span<const int32_t> prompt, int64_t positions);

}  // namespace bitmill
