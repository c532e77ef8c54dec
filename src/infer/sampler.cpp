#include "infer/sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "base/random.hpp"

namespace bitmill {
namespace {

// Uniform in [0, 1), 53 bits.
double uniform(uint64_t seed, uint64_t index) {
  const auto bits = random_bits(seed, RandomPurpose::sampling, index);
  const uint64_t word = (uint64_t{bits[0]} << 32) | bits[1];
  return static_cast<double>(word >> 11) * 0x1p-53;
}

}  // namespace

Sampler::Sampler(const SamplerSettings& settings, std::span<const int32_t> prompt,
                 int64_t vocab_size)
    : settings_(settings), was_there_(static_cast<size_t>(vocab_size), false) {
  for (const int32_t id : prompt) was_there_[id] = true;
}

int32_t Sampler::pick(std::span<const float> logits) {
  const auto bad = std::ranges::find_if_not(logits, [](float v) { return std::isfinite(v); });
  BITMILL_CHECK(bad == logits.end(), NumericError,
                fmt::format("the logit of token {} is {} after {} generated tokens: the model "
                            "overflows float32, or is damaged; bitmill verify and bitmill eval "
                            "look closer",
                            bad - logits.begin(), *bad, picked_));
  const int32_t id = settings_.temperature == 0 ? most_likely(logits) : draw(candidates(logits));
  was_there_[id] = true;
  ++picked_;
  return id;
}

float Sampler::penalized(int32_t id, float logit) const {
  if (settings_.repetition_penalty == 1 || !was_there_[id]) return logit;
  const auto penalty = static_cast<float>(settings_.repetition_penalty);
  return logit > 0 ? logit / penalty : logit * penalty;
}

// Of equal ones the first.
int32_t Sampler::most_likely(std::span<const float> logits) const {
  int32_t best = 0;
  float largest = penalized(0, logits[0]);
  for (int32_t id = 1; id < std::ssize(logits); ++id) {
    const float logit = penalized(id, logits[id]);
    if (logit > largest) {
      best = id;
      largest = logit;
    }
  }
  return best;
}

// What may be drawn, the most likely first; of equally likely ones the smaller id.
std::vector<Sampler::Candidate> Sampler::candidates(std::span<const float> logits) const {
  std::vector<Candidate> all;
  all.reserve(logits.size());
  for (int32_t id = 0; id < std::ssize(logits); ++id) {
    all.push_back({id, double{penalized(id, logits[id])} / settings_.temperature});
  }
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  };
  const int64_t kept =
      settings_.top_k == 0 ? std::ssize(all) : std::min<int64_t>(settings_.top_k, std::ssize(all));
  std::partial_sort(all.begin(), all.begin() + kept, all.end(), before);
  all.resize(static_cast<size_t>(kept));

  const double largest = all.front().weight;
  double total = 0;
  for (Candidate& candidate : all) {
    candidate.weight = std::exp(candidate.weight - largest);
    total += candidate.weight;
  }
  // The shortest front that reaches top_p; then what is likely enough beside the first.
  double reached = 0;
  size_t count = 0;
  while (count < all.size() && (count == 0 || reached < settings_.top_p * total)) {
    reached += all[count++].weight;
  }
  while (count > 1 && all[count - 1].weight < settings_.min_p) --count;
  all.resize(count);
  return all;
}

int32_t Sampler::draw(const std::vector<Candidate>& candidates) const {
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  double left = uniform(settings_.seed, picked_) * total;
  for (const Candidate& candidate : candidates) {
    left -= candidate.weight;
    if (left < 0) return candidate.id;
  }
  return candidates.back().id;  // rounding left a little
}

}  // namespace bitmill
