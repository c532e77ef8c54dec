#include "method/adamw.hpp"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/pieces.hpp"
#include "method/adamw_element.hpp"

namespace bitmill {
namespace {

// Ours (METHOD.md, "Training").
constexpr double last_factor = 0.05;

}  // namespace

double rate_factor(RateSchedule schedule, int64_t step, int64_t total_steps) {
  if (schedule == RateSchedule::constant) return 1;
  const double done = static_cast<double>(step) / static_cast<double>(total_steps);
  const double least = schedule == RateSchedule::cosine ? last_factor : 0;
  return least + (1 - least) * (1 + std::cos(std::numbers::pi * done)) / 2;
}

AdamW::AdamW(const LearnedLayout& layout, int64_t begin, int64_t end)
    : first_(at::zeros({end - begin})), second_(at::zeros({end - begin})) {
  for (const LearnedSegment& segment : layout.segments()) {
    const int64_t from = std::max(begin, segment.offset) - begin;
    const int64_t to = std::min(end, segment.offset + segment.size) - begin;
    for_pieces(to - from, elements_per_task, [&](int64_t first, int64_t count) {
      ranges_.push_back({from + first, from + first + count, segment.rate});
    });
  }
}

void AdamW::step(int64_t steps, double factor, const at::Tensor& sum, int64_t units,
                 const at::Tensor& values, ThreadPool& pool) {
  const auto t = static_cast<double>(steps);
  const double correction1 = 1.0 - std::pow(double{AdamWStep::beta1}, t);
  const auto root_correction2 =
      static_cast<float>(std::sqrt(1.0 - std::pow(double{AdamWStep::beta2}, t)));
  const float* from = sum.data_ptr<float>();
  float* value = values.data_ptr<float>();
  float* first = first_.data_ptr<float>();
  float* second = second_.data_ptr<float>();
  pool.parallel_for(std::ssize(ranges_), [&](int64_t index) {
    const Range& range = ranges_[index];
    const AdamWStep step{static_cast<float>(units),
                         static_cast<float>(range.rate * factor / correction1), root_correction2};
    for (int64_t i = range.begin; i < range.end; ++i) {
      adamw_element(step, from[i], first[i], second[i], value[i]);
    }
  });
}

}  // namespace bitmill
