#include "infer/sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

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

// What may be drawn, in an order that depends on logits and settings alone. Only as many are sorted
// as a setting looks at: a vocabulary is large.
std::vector<Sampler::Candidate> Sampler::candidates(std::span<const float> logits) const {
  std::vector<Candidate> all;
  all.reserve(logits.size());
  double largest = -std::numeric_limits<double>::infinity();
  for (int32_t id = 0; id < std::ssize(logits); ++id) {
    all.push_back({id, double{penalized(id, logits[id])}});
    largest = std::max(largest, all.back().weight);
  }
  // The difference first: over a tiny temperature the logits themselves would be infinite.
  for (Candidate& candidate : all) {
    candidate.weight = std::exp((candidate.weight - largest) / settings_.temperature);
  }
  if (settings_.top_k > 0 && settings_.top_k < std::ssize(all)) {
    sort_front(all, static_cast<size_t>(settings_.top_k));
    all.resize(static_cast<size_t>(settings_.top_k));
  }
  if (settings_.top_p < 1) keep_top_p(all);
  std::erase_if(all, [&](const Candidate& c) { return c.weight < settings_.min_p; });
  return all;
}

// The most likely `count` come first, sorted; of equally likely ones the smaller id.
void Sampler::sort_front(std::vector<Candidate>& all, size_t count) {
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(),
                    [](const Candidate& a, const Candidate& b) {
                      return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
                    });
}

// The shortest front that reaches top_p.
void Sampler::keep_top_p(std::vector<Candidate>& all) const {
  double total = 0;
  for (const Candidate& candidate : all) total += candidate.weight;
  constexpr size_t first_guess = 64;  // more are rarely needed
  for (size_t sorted = std::min(first_guess, all.size());;
       sorted = std::min(4 * sorted, all.size())) {
    sort_front(all, sorted);
    double reached = 0;
    for (size_t count = 0; count < sorted; ++count) {
      reached += all[count].weight;
      if (reached >= settings_.top_p * total) {
        all.resize(count + 1);
        return;
      }
    }
    if (sorted == all.size()) return;  // rounding left a little
  }
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
