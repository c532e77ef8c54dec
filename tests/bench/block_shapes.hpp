#pragma once
// Shapes of blocks that benchmarks run, and the parts of such a block that are not quantized.

#include <ATen/ATen.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "model/block_forward.hpp"
#include "model/family.hpp"

namespace bitmill::bench {

struct Shape {
  std::string name;
  int64_t hidden, inner, heads, kv_heads, head_dim, tokens;
};

inline const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = {
      {"576x1536", 576, 1536, 9, 3, 64, 512},         // a block of SmolLM2-135M
      {"4096x11008", 4096, 11008, 32, 32, 128, 128},  // a block of LLaMA-2 7B
      // For GPUs: gpu_step.py has the same ones.
      {"small", 64, 192, 4, 2, 16, 32},
      {"7B", 4096, 11008, 32, 32, 128, 2048},
      {"13B", 5120, 13824, 40, 40, 128, 2048},
      {"70B", 8192, 28672, 64, 8, 128, 2048}};
  return all;
}

inline const Shape& find_shape(std::string_view name) {
  std::string known;
  for (const Shape& shape : shapes()) {
    if (shape.name == name) return shape;
    known += " " + shape.name;
  }
  throw UsageError("no shape \"" + std::string(name) + "\"; there are:" + known);
}

inline ModelConfig config_of(const Shape& shape) {
  return {.family = find_family("LlamaForCausalLM"),
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
}

inline BlockVectors vectors_of(const ModelConfig& config) {
  BlockVectors vectors;
  vectors.input_norm.weight = vectors.middle_norm.weight = at::ones({config.hidden_size});
  vectors.biases.resize(config.family->linears.size());
  return vectors;
}

}  // namespace bitmill::bench
