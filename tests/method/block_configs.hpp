#pragma once
// Configs of blocks with odd sizes, one for each form of block that the families have, and random
// vectors for them.

#include <ATen/ATen.h>

#include "model/family.hpp"
#include "model/source_model.hpp"

namespace bitmill::test {

inline ModelConfig llama() {
  return {.family = find_family("LlamaForCausalLM"),
          .tensor_prefix = "model.",
          .hidden_size = 13,
          .embedding_size = 13,
          .intermediate_size = 21,
          .blocks = 1,
          .heads = 3,
          .kv_heads = 1,
          .head_dim = 6,
          .vocab_size = 31,
          .context = 512,
          .windowed_blocks = {},
          .norm_epsilon = 1e-5,
          .rope = {.theta = 10000},
          .allowed_keys = {}};
}

// No gate; biases; layer norms, which come after the sums.
inline ModelConfig opt() {
  ModelConfig config = llama();
  config.family = find_family("OPTForCausalLM");
  config.hidden_size = config.embedding_size = 12;
  config.kv_heads = config.heads;
  config.head_dim = 4;
  config.activation = Activation::gelu;  // relu has no derivative at 0; finite differences fail
  config.attention_bias = config.mlp_bias = true;
  config.norm_first = false;
  return config;
}

// With norms of queries and keys.
inline ModelConfig qwen3() {
  ModelConfig config = llama();
  config.family = find_family("Qwen3ForCausalLM");
  return config;
}

inline BlockVectors random_vectors(const ModelConfig& config) {
  const auto norm = [&](int64_t size) {
    const bool has_bias = config.family->norm == NormKind::layer;
    return Norm{at::rand({size}) + 0.5, has_bias ? at::randn({size}) : at::Tensor()};
  };
  BlockVectors vectors{.input_norm = norm(config.hidden_size),
                       .middle_norm = norm(config.hidden_size),
                       .query_norm = norm(config.head_dim),
                       .key_norm = norm(config.head_dim),
                       .biases = {}};
  for (const LinearSpec& spec : config.family->linears) {
    vectors.biases.push_back(spec.has_bias(config) ? at::randn({spec.rows(config)}) * 0.3
                                                   : at::Tensor());
  }
  return vectors;
}

}  // namespace bitmill::test
