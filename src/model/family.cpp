#include "model/family.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace bitmill {
namespace {

int64_t hidden(const ModelConfig& config) { return config.hidden_size; }
int64_t intermediate(const ModelConfig& config) { return config.intermediate_size; }
int64_t query_width(const ModelConfig& config) { return config.heads * config.head_dim; }
int64_t key_value_width(const ModelConfig& config) { return config.kv_heads * config.head_dim; }

constexpr std::array llama_linears = {
    LinearSpec{LinearRole::query, "self_attn.q_proj", query_width, hidden},
    LinearSpec{LinearRole::key, "self_attn.k_proj", key_value_width, hidden},
    LinearSpec{LinearRole::value, "self_attn.v_proj", key_value_width, hidden},
    LinearSpec{LinearRole::attention_output, "self_attn.o_proj", hidden, query_width},
    LinearSpec{LinearRole::gate, "mlp.gate_proj", intermediate, hidden},
    LinearSpec{LinearRole::up, "mlp.up_proj", intermediate, hidden},
    LinearSpec{LinearRole::down, "mlp.down_proj", hidden, intermediate},
};

constexpr std::array families = {
    Family{.architecture = "LlamaForCausalLM",
           .embedding = "model.embed_tokens.weight",
           .final_norm = "model.norm.weight",
           .head = "lm_head.weight",
           .block_prefix = "model.layers.",
           .input_norm = "input_layernorm.weight",
           .middle_norm = "post_attention_layernorm.weight",
           .linears = llama_linears},
};

// Readers index a block's linears by role.
constexpr bool ordered_by_role(const Family& family) {
  for (size_t i = 0; i < family.linears.size(); ++i) {
    if (family.linears[i].role != static_cast<LinearRole>(i)) return false;
  }
  return family.linears.size() == linears_per_block;
}
static_assert(std::ranges::all_of(families, ordered_by_role));

}  // namespace

const Family* find_family(std::string_view architecture) {
  const auto it = std::ranges::find(families, architecture, &Family::architecture);
  return it == families.end() ? nullptr : &*it;
}

std::string known_architectures() {
  std::string names;
  for (const Family& family : families) {
    if (!names.empty()) names += ", ";
    names += family.architecture;
  }
  return names;
}

std::vector<LinearShape> block_linears(const ModelConfig& config, int64_t block) {
  std::vector<LinearShape> linears;
  for (const LinearSpec& spec : config.family->linears) {
    linears.push_back({.tensor = block_tensor(config, block, spec.name) + ".weight",
                       .role = spec.role,
                       .rows = spec.rows(config),
                       .cols = spec.cols(config)});
  }
  return linears;
}

std::string block_tensor(const ModelConfig& config, int64_t block, std::string_view name) {
  assert(block >= 0 && block < config.blocks);
  return fmt::format("{}{}.{}", config.family->block_prefix, block, name);
}

}  // namespace bitmill
