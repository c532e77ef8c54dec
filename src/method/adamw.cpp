#include "method/adamw.hpp"

#include <algorithm>
#include <cmath>

namespace bitmill {
namespace {

constexpr float beta1 = 0.9F;
constexpr float beta2 = 0.999F;
constexpr float epsilon = 1e-8F;

}  // namespace

AdamW::AdamW(const LearnedLayout& layout, int64_t begin, int64_t end)
    : first_(static_cast<size_t>(end - begin)), second_(static_cast<size_t>(end - begin)) {
  for (const LearnedSegment& segment : layout.segments()) {
    const int64_t from = std::max(begin, segment.offset);
    const int64_t to = std::min(end, segment.offset + segment.size);
    if (from < to) ranges_.push_back({from - begin, to - begin, segment.rate});
  }
}

void AdamW::step(int64_t steps, std::span<const float> gradient, std::span<float> values) {
  const auto t = static_cast<double>(steps);
  const double correction1 = 1.0 - std::pow(double{beta1}, t);
  const auto root_correction2 = static_cast<float>(std::sqrt(1.0 - std::pow(double{beta2}, t)));
  for (const Range& range : ranges_) {
    const auto rate = static_cast<float>(range.rate / correction1);
    for (int64_t i = range.begin; i < range.end; ++i) {
      const float g = gradient[i];
      first_[i] = beta1 * first_[i] + (1.0F - beta1) * g;
      second_[i] = beta2 * second_[i] + (1.0F - beta2) * g * g;
      values[i] -= rate * first_[i] / (std::sqrt(second_[i]) / root_correction2 + epsilon);
    }
  }
}

}  // namespace bitmill
