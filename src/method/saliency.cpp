#include "method/saliency.hpp"

#include <ATen/ATen.h>

namespace bitmill {
namespace {

// x [T, cols] -> [cols], over tokens.
void column_statistics(const at::Tensor& x, Saliency kind, const at::Tensor& out) {
  const at::Tensor size = x.abs();
  out.copy_(kind == Saliency::max ? at::amax(size, 0) : at::sum(size, 0, false, at::kDouble));
}

}  // namespace

SaliencyLayout::SaliencyLayout(std::span<const LinearShape> linears) : offsets_{0} {
  for (const LinearShape& linear : linears) offsets_.push_back(offsets_.back() + linear.cols);
}

at::Tensor SaliencyLayout::part(const at::Tensor& flat, size_t linear) const {
  return flat.narrow(0, offsets_[linear], offsets_[linear + 1] - offsets_[linear]);
}

at::Tensor probing_forward(const ModelConfig& config, const BlockWeights& weights,
                           const Rotary& rotary, const at::Tensor& x, Saliency kind,
                           const SaliencyLayout& layout, const at::Tensor& statistics,
                           ThreadPool& pool) {
  return dense_block_forward(config, weights, rotary, x, pool,
                             [&](size_t linear, const at::Tensor& input) {
                               column_statistics(input, kind, layout.part(statistics, linear));
                             });
}

void merge_statistics(Saliency kind, const at::Tensor& into, const at::Tensor& from) {
  if (kind == Saliency::max) {
    into.copy_(at::maximum(into, from));
  } else {
    into.add_(from);
  }
}

}  // namespace bitmill
