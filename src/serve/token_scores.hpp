#pragma once
// Log-probabilities of tokens, from a row of logits.

#include <cstdint>
#include <span>

#include "serve/text_batch.hpp"

namespace bitmill {

// The score of `id` with the `top` most likely tokens. Sums are float64, in one order: the same
// logits give the same bits. NumericError when a logit is not finite.
TokenScore score_token(std::span<const float> logits, int32_t id, int64_t top);

}  // namespace bitmill
