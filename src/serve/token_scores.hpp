#pragma once
// Log-probabilities of tokens, from a row of logits.

#include <cstdint>
#include <span>
#include <vector>

namespace bitmill {

struct TokenScore {
  int32_t id = 0;
  bool known = false;  // false for the first token of a prompt, which nothing comes before
  double logprob = 0;  // natural logarithm of its probability before any setting of the sampler
  struct Likely {
    int32_t id;
    double logprob;
  };
  std::vector<Likely> likely = {};  // the most likely first; of equally likely ones the smaller id
};

// The score of `id` with the `top` most likely tokens. Sums are float64, in one order: the same
// logits give the same bits. NumericError when a logit is not finite.
TokenScore score_token(std::span<const float> logits, int32_t id, int64_t top);

}  // namespace bitmill
