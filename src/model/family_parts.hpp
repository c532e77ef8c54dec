#pragma once
// What the pages of the families (family_<name>.cpp) use, and the list of the families.

#include <span>

#include "model/family.hpp"

namespace bitmill {

extern const Family llama_family;
extern const Family mistral_family;
extern const Family opt_family;
extern const Family qwen2_family;
extern const Family qwen3_family;

namespace family {

constexpr int64_t hidden(const ModelConfig& config) { return config.hidden_size; }
constexpr int64_t intermediate(const ModelConfig& config) { return config.intermediate_size; }
constexpr int64_t query_width(const ModelConfig& config) { return config.heads * config.head_dim; }
constexpr int64_t key_value_width(const ModelConfig& config) {
  return config.kv_heads * config.head_dim;
}

constexpr bool always(const ModelConfig& /*config*/) { return true; }
constexpr bool never(const ModelConfig& /*config*/) { return false; }
constexpr bool attention_bias(const ModelConfig& config) { return config.attention_bias; }
constexpr bool mlp_bias(const ModelConfig& config) { return config.mlp_bias; }

// Blocks are computed, stored and trained in the order of roles.
constexpr bool in_order(std::span<const LinearSpec> linears) {
  for (size_t i = 1; i < linears.size(); ++i) {
    if (linears[i].role <= linears[i - 1].role) return false;
  }
  return true;
}

}  // namespace family
}  // namespace bitmill
