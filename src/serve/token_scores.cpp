#include "serve/token_scores.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"

namespace bitmill {
namespace {

// The `top` largest, the largest first; of equal ones the smaller id.
std::vector<int32_t> largest_ids(std::span<const float> logits, int64_t top) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto count = std::min(top, std::ssize(logits));
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  ids.resize(static_cast<size_t>(count));
  return ids;
}

}  // namespace

TokenScore score_token(std::span<const float> logits, int32_t id, int64_t top) {
  const auto bad = std::ranges::find_if_not(logits, [](float v) { return std::isfinite(v); });
  BITMILL_CHECK(bad == logits.end(), NumericError,
                fmt::format("the logit of token {} is {}: the model overflows float32, or is "
                            "damaged; bitmill verify and bitmill eval look closer",
                            bad - logits.begin(), *bad));
  const double largest = double{*std::ranges::max_element(logits)};
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - largest);
  const double log_sum = largest + std::log(sum);
  TokenScore score{.id = id, .known = true, .logprob = double{logits[id]} - log_sum};
  if (top == 0) return score;
  for (const int32_t likely : largest_ids(logits, top)) {
    score.likely.push_back({likely, double{logits[likely]} - log_sum});
  }
  return score;
}

}  // namespace bitmill
