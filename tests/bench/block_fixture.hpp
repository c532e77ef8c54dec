#pragma once
// A block of a given shape with random weights, and calibration samples for it.

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "method/student_block.hpp"
#include "model/block_forward.hpp"
#include "model/family.hpp"

namespace bitmill::bench {

struct Shape {
  std::string name;
  int64_t hidden, inner, heads, kv_heads, head_dim, tokens;
};

inline const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = {
      {"576x1536", 576, 1536, 9, 3, 64, 512},        // a block of SmolLM2-135M
      {"4096x11008", 4096, 11008, 32, 32, 128, 128}  // a block of LLaMA-2 7B
  };
  return all;
}

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
    config = {.family = find_family("LlamaForCausalLM"),
              .tensor_prefix = "model.",
              .hidden_size = shape.hidden,
              .embedding_size = shape.hidden,
              .intermediate_size = shape.inner,
              .blocks = 1,
              .heads = shape.heads,
              .kv_heads = shape.kv_heads,
              .head_dim = shape.head_dim,
              .vocab_size = 16,
              .context = 4096,
              .windowed_blocks = {},
              .norm_epsilon = 1e-5,
              .rope = {.theta = 10000},
              .allowed_keys = {}};
    vectors.input_norm.weight = vectors.middle_norm.weight = at::ones({shape.hidden});
    vectors.biases.resize(config.family->linears.size());
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
