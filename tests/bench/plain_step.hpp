#pragma once
// The implementation with which our cpu backend is compared: plain libtorch, as the method is
// usually written. Every step quantizes and binarizes the whole weight again, makes the whole
// dequantized weight, and lets autograd compute the weight's gradient before the scales' gradients.

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "bench/block_fixture.hpp"
#include "method/loss.hpp"

namespace bitmill::bench {

struct PlainScales {
  at::Tensor row_scale, row_gain, col_gain;  // [rows], [rows], [cols]
};

inline at::Tensor plain_weight(const at::Tensor& weight, const at::Tensor& salient,
                               const PlainScales& scales) {
  const at::Tensor low = at::clamp_max(weight.amin(1, true), 0);
  const at::Tensor high = at::clamp_min(weight.amax(1, true), 0);
  const at::Tensor step = (high - low) / 15;
  const at::Tensor zero = at::round(-low / step);
  const at::Tensor codes = at::clamp(at::round(weight / step) + zero, 0, 15);
  const at::Tensor four_bit = step * (codes - zero);
  const at::Tensor rest = at::masked_fill(weight, salient, 0);
  const at::Tensor count = (rest != 0).sum(1, true);
  const at::Tensor mean = rest.sum(1, true) / count;
  const at::Tensor one_bit = scales.row_gain.unsqueeze(1) * scales.col_gain *
                             (scales.row_scale.unsqueeze(1) * at::sign(weight - mean) + mean);
  return at::where(salient, four_bit, one_bit);
}

// Loss and gradients of one sample.
inline double plain_step(const Fixture& f, const TrainingSample& sample,
                         const std::vector<PlainScales>& scales, ThreadPool& pool) {
  const at::Tensor out = block_forward(
      f.config, f.vectors, f.rotary, sample.input,
      [&](size_t i, const at::Tensor& x) {
        return at::linear(x, plain_weight(f.weights[i], f.masks[i], scales[i]));
      },
      pool);
  const at::Tensor loss = sample_loss(out, sample.normal, sample.homologous);
  torch::autograd::variable_list leaves;
  for (const PlainScales& s : scales) {
    leaves.insert(leaves.end(), {s.row_scale, s.row_gain, s.col_gain});
  }
  torch::autograd::grad({loss}, leaves);
  return loss.item<double>();
}

inline std::vector<PlainScales> plain_scales(const Fixture& f) {
  std::vector<PlainScales> scales;
  for (size_t role = 0; role < f.weights.size(); ++role) {
    scales.push_back({f.initial[role].row_scale.clone().requires_grad_(true),
                      at::ones({f.weights[role].size(0)}).requires_grad_(true),
                      at::ones({f.weights[role].size(1)}).requires_grad_(true)});
  }
  return scales;
}

}  // namespace bitmill::bench
