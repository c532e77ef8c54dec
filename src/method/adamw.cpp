#include "method/adamw.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bitmill {
namespace {

constexpr float beta1 = 0.9F;
constexpr float beta2 = 0.999F;
constexpr float epsilon = 1e-8F;

// Ours (METHOD.md, "Training").
constexpr double last_factor = 0.05;

// Elements per task: enough to be worth handing to another thread.
constexpr int64_t elements_per_piece = 1 << 16;

}  // namespace

double rate_factor(RateSchedule schedule, int64_t step, int64_t total_steps) {
  if (schedule == RateSchedule::constant) return 1;
  const double share = static_cast<double>(step) / static_cast<double>(total_steps);
  const double least = schedule == RateSchedule::cosine ? last_factor : 0;
  return least + (1 - least) * (1 + std::cos(std::numbers::pi * share)) / 2;
}

AdamW::AdamW(const LearnedLayout& layout, int64_t begin, int64_t end)
    : first_(static_cast<size_t>(end - begin)), second_(static_cast<size_t>(end - begin)) {
  for (const LearnedSegment& segment : layout.segments()) {
    const int64_t to = std::min(end, segment.offset + segment.size);
    for (int64_t from = std::max(begin, segment.offset); from < to; from += elements_per_piece) {
      ranges_.push_back(
          {from - begin, std::min(to, from + elements_per_piece) - begin, segment.rate});
    }
  }
}

void AdamW::step(int64_t steps, double factor, std::span<const float> gradient,
                 std::span<float> values, ThreadPool& pool) {
  const auto t = static_cast<double>(steps);
  const double correction1 = 1.0 - std::pow(double{beta1}, t);
  const auto root_correction2 = static_cast<float>(std::sqrt(1.0 - std::pow(double{beta2}, t)));
  pool.parallel_for(std::ssize(ranges_), [&](int64_t index) {
    const Range& range = ranges_[index];
    const auto rate = static_cast<float>(range.rate * factor / correction1);
    for (int64_t i = range.begin; i < range.end; ++i) {
      const float g = gradient[i];
      first_[i] = beta1 * first_[i] + (1.0F - beta1) * g;
      second_[i] = beta2 * second_[i] + (1.0F - beta2) * g * g;
      values[i] -= rate * first_[i] / (std::sqrt(second_[i]) / root_correction2 + epsilon);
    }
  });
}

}  // namespace bitmill
