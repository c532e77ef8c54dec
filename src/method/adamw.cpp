#include "method/adamw.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "base/error.hpp"
#include "base/pieces.hpp"
#include "device/queue.hpp"
#include "kernels/adamw.hpp"
#include "method/adamw_element.hpp"

namespace bitmill {
namespace {

// Ours (METHOD.md, "Training").
constexpr double last_factor = 0.05;

// kernels::AdamWPiece [pieces], as bytes.
template <typename Ranges>
at::Tensor adamw_pieces(const Ranges& ranges) {
  std::vector<kernels::AdamWPiece> pieces;
  for (const auto& range : ranges) {
    for_pieces(range.end - range.begin, kernels::adamw_elements_per_piece,
               [&](int64_t first, int64_t count) {
                 pieces.push_back(
                     {range.begin + first, static_cast<int32_t>(count), range.window, range.rate});
               });
  }
  const size_t bytes = pieces.size() * sizeof(kernels::AdamWPiece);
  const at::Tensor all = at::empty({static_cast<int64_t>(bytes)}, at::kByte);
  if (bytes > 0) std::memcpy(all.data_ptr(), pieces.data(), bytes);
  return all;
}

}  // namespace

double rate_factor(RateSchedule schedule, int64_t step, int64_t total_steps) {
  if (schedule == RateSchedule::constant) return 1;
  const double done = static_cast<double>(step) / static_cast<double>(total_steps);
  const double least = schedule == RateSchedule::cosine ? last_factor : 0;
  return least + (1 - least) * (1 + std::cos(std::numbers::pi * done)) / 2;
}

AdamW::AdamW(const LearnedLayout& layout, int64_t begin, int64_t end, at::Device device)
    : first_(at::zeros({end - begin}, device)), second_(at::zeros({end - begin}, device)) {
  for (const LearnedSegment& segment : layout.segments()) {
    const int64_t from = std::max(begin, segment.offset) - begin;
    const int64_t to = std::min(end, segment.offset + segment.size) - begin;
    for_pieces(to - from, elements_per_task, [&](int64_t first, int64_t count) {
      ranges_.push_back({from + first, from + first + count, segment.rate, segment.window});
    });
  }
  if (device.is_cuda()) gpu_pieces_ = adamw_pieces(ranges_).to(device);
}

void AdamW::step(int64_t steps, double factor, const at::Tensor& sum, int64_t units,
                 const at::Tensor& values, ThreadPool& pool) {
  const auto t = static_cast<double>(steps);
  const Numbers numbers{factor, 1.0 - std::pow(double{AdamWStep::beta1}, t),
                        static_cast<float>(units),
                        static_cast<float>(std::sqrt(1.0 - std::pow(double{AdamWStep::beta2}, t)))};
  BITMILL_CHECK(values.device() == first_.device() && sum.device() == first_.device(), DeviceError,
                fmt::format("AdamW has its moments on {}, but its values on {} and their gradient "
                            "on {}",
                            first_.device().str(), values.device().str(), sum.device().str()));
  if (values.is_cuda()) {
    step_on_gpu(numbers, sum, values);
  } else {
    step_on_host(numbers, sum, values, pool);
  }
}

void AdamW::step_on_host(const Numbers& numbers, const at::Tensor& sum, const at::Tensor& values,
                         ThreadPool& pool) {
  const float* from = sum.data_ptr<float>();
  float* value = values.data_ptr<float>();
  float* first = first_.data_ptr<float>();
  float* second = second_.data_ptr<float>();
  pool.parallel_for(std::ssize(ranges_), [&](int64_t index) {
    const Range range = ranges_[index];  // a copy, which no store can change
    const AdamWStep step{numbers.units,
                         static_cast<float>(range.rate * numbers.factor / numbers.correction1),
                         numbers.root_correction2};
    for (int64_t i = range.begin; i < range.end; ++i) {
      const bool passes = range.window == 0 || std::abs(value[i]) < range.window;
      adamw_element(step, passes ? from[i] : 0.0F, first[i], second[i], value[i]);
    }
  });
}

void AdamW::step_on_gpu(const Numbers& numbers, const at::Tensor& sum, const at::Tensor& values) {
  const kernels::AdamWSlice task{
      static_cast<const kernels::AdamWPiece*>(gpu_pieces_.const_data_ptr()),
      sum.data_ptr<float>(),
      first_.data_ptr<float>(),
      second_.data_ptr<float>(),
      values.data_ptr<float>(),
      gpu_pieces_.numel() / static_cast<int64_t>(sizeof(kernels::AdamWPiece)),
      numbers.units,
      numbers.root_correction2,
      numbers.factor,
      numbers.correction1};
  check_cuda(kernels::adamw(task, stream_of(values)), "adamw");
}

}  // namespace bitmill
