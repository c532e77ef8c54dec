#pragma once
// Picks the next token from logits.

#include <cstdint>
#include <span>
#include <vector>

namespace bitmill {

struct SamplerSettings {
  double temperature = 0;  // 0: the most likely token, always (greedy)
  int64_t top_k = 0;       // only the k most likely; 0: all
  double top_p = 1;        // only the most likely that together reach this probability; (0, 1]
  double min_p = 0;        // only those at least this likely, relative to the most likely; [0, 1]
  double repetition_penalty = 1;  // logits of tokens that were there are divided by it where they
                                  // are positive, and multiplied where negative; > 0
  uint64_t seed = 0;
};

// The steps, and their order, are those of transformers: penalty, temperature, top-k, top-p, min-p;
// then one draw. At least one token always stays. The draw of the n-th token is a pure function of
// (seed, n), so a text does not depend on threads, or on how its prompt was cut.
class Sampler {
 public:
  // REQUIRES: settings in the ranges above. `prompt` counts for the repetition penalty.
  Sampler(const SamplerSettings& settings, std::span<const int32_t> prompt, int64_t vocab_size);

  // `logits` [vocab]. NumericError when one of them is not finite. Remembers the token.
  int32_t pick(std::span<const float> logits);

 private:
  struct Candidate {
    int32_t id;
    double weight;  // a probability, over that of the most likely token
  };
  float penalized(int32_t id, float logit) const;
  int32_t most_likely(std::span<const float> logits) const;
  std::vector<Candidate> candidates(std::span<const float> logits) const;
  static void sort_front(std::vector<Candidate>& all, size_t count);
  void keep_top_p(std::vector<Candidate>& all) const;
  int32_t draw(const std::vector<Candidate>& candidates) const;

  SamplerSettings settings_;
  std::vector<bool> was_there_;  // [vocab]
  uint64_t picked_ = 0;
};

}  // namespace bitmill
