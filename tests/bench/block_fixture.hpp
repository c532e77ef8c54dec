#pragma once
// A block of a given shape with random weights, and calibration samples for it.

#include <ATen/ATen.h>

#include <vector>

#include "bench/block_shapes.hpp"
#include "method/student_block.hpp"

namespace bitmill::bench {

struct Fixture {
  ModelConfig config;
  BlockVectors vectors;
  Rotary rotary;
  std::vector<at::Tensor> weights;     // by role, float32 [rows, cols]
  std::vector<at::Tensor> masks;       // by role, bool [cols], true = salient
  std::vector<BlockLinear> linears;    // by role
  std::vector<InitialLinear> initial;  // the same
  std::vector<TrainingSample> samples;

  Fixture(const Shape& shape, int64_t count, ThreadPool& pool,
          const MethodSettings& settings = {}) {
    at::manual_seed(1);
    config = config_of(shape);
    vectors = vectors_of(config);
    rotary = make_rotary(config, shape.tokens);
    for (const LinearShape& linear : block_linears(config, 0)) {
      const at::Tensor saliency = at::rand({linear.cols});
      weights.push_back(at::randn({linear.rows, linear.cols}) * 0.02);
      initial.push_back(quantize_linear(
          weights.back(), {saliency.data_ptr<float>(), static_cast<size_t>(linear.cols)}, settings,
          pool));
      linears.push_back({initial.back(), {}});
      masks.push_back(at::zeros({linear.cols}, at::kBool));
      masks.back().index_fill_(0, initial.back().frozen.salient_columns, true);
    }
    for (int64_t i = 0; i < count; ++i) {
      const at::Tensor x = at::randn({shape.tokens, shape.hidden});
      const at::Tensor y = at::randn({shape.tokens, shape.hidden});
      samples.push_back({x, y, y + 0.1 * x});
    }
  }
};

}  // namespace bitmill::bench
