#include "method/saliency.hpp"

#include <ATen/ATen.h>

#include <algorithm>

namespace bitmill {
namespace {

// x [T, cols] -> [cols], over tokens.
void column_statistics(const at::Tensor& x, Saliency kind, std::span<double> out) {
  const at::Tensor size = x.abs();
  const at::Tensor values = kind == Saliency::max ? at::amax(size, 0).to(at::kDouble)
                                                  : at::sum(size, 0, false, at::kDouble);
  std::copy_n(values.data_ptr<double>(), out.size(), out.begin());
}

}  // namespace

SaliencyLayout::SaliencyLayout(std::span<const LinearShape> linears) : offsets_{0} {
  for (const LinearShape& linear : linears) offsets_.push_back(offsets_.back() + linear.cols);
}

std::span<double> SaliencyLayout::part(std::span<double> flat, size_t linear) const {
  return flat.subspan(offsets_[linear], offsets_[linear + 1] - offsets_[linear]);
}

at::Tensor probing_forward(const ModelConfig& config, const BlockWeights& weights,
                           const Rotary& rotary, const at::Tensor& x, Saliency kind,
                           const SaliencyLayout& layout, std::span<double> statistics,
                           ThreadPool& pool) {
  return dense_block_forward(config, weights, rotary, x, pool,
                             [&](size_t linear, const at::Tensor& input) {
                               column_statistics(input, kind, layout.part(statistics, linear));
                             });
}

void merge_statistics(Saliency kind, std::span<double> into, std::span<const double> from) {
  for (size_t i = 0; i < into.size(); ++i) {
    into[i] = kind == Saliency::max ? std::max(into[i], from[i]) : into[i] + from[i];
  }
}

}  // namespace bitmill
