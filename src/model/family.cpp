#include "model/family.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "model/family_parts.hpp"

namespace bitmill {
namespace {

constexpr std::array families = {&llama_family, &mistral_family, &qwen2_family, &qwen3_family,
                                 &opt_family};

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> not_computed = {{
    {"GemmaForCausalLM", "its norms multiply by 1 + weight, and its embeddings are scaled"},
    {"Gemma2ForCausalLM", "its attention scores are capped by a tanh before the softmax"},
    {"Gemma3ForCausalLM", "its blocks take turns between two rotary tables and two windows"},
    {"MixtralForCausalLM", "its blocks hold several experts, of which a router picks some"},
}};

void add_norm(const ModelConfig& config, const std::string& name, int64_t size,
              std::vector<TensorShape>& out) {
  if (!config.norm_weights) return;
  out.push_back({name + ".weight", {size}});
  if (config.family->norm == NormKind::layer) out.push_back({name + ".bias", {size}});
}

}  // namespace

int64_t Family::position(LinearRole role) const {
  const auto it = std::ranges::find(linears, role, &LinearSpec::role);
  return it == linears.end() ? -1 : it - linears.begin();
}

const Family* find_family(std::string_view architecture) {
  const auto it = std::ranges::find(families, architecture, &Family::architecture);
  return it == families.end() ? nullptr : *it;
}

const Family* find_family_of_type(std::string_view model_type) {
  const auto it = std::ranges::find(families, model_type, &Family::model_type);
  return it == families.end() ? nullptr : *it;
}

std::string known_architectures() {
  std::string names;
  for (const Family* family : families) {
    if (!names.empty()) names += ", ";
    names += family->architecture;
  }
  return names;
}

std::string_view why_not_computed(std::string_view architecture) {
  for (const auto& [name, reason] : not_computed) {
    if (name == architecture) return reason;
  }
  return {};
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

std::string outer_tensor(const ModelConfig& config, std::string_view name) {
  return config.tensor_prefix + std::string(name);
}

std::string block_tensor(const ModelConfig& config, int64_t block, std::string_view name) {
  assert(block >= 0 && block <= config.blocks);
  return fmt::format("{}{}{}.{}", config.tensor_prefix, config.family->names.blocks, block, name);
}

std::string embedding_tensor(const ModelConfig& config) {
  const TensorNames& names = config.family->names;
  return (config.only_head_stored ? std::string(names.head)
                                  : outer_tensor(config, names.embedding)) +
         ".weight";
}

std::string head_tensor(const ModelConfig& config) {
  return config.tied_embeddings ? embedding_tensor(config)
                                : std::string(config.family->names.head) + ".weight";
}

std::vector<TensorShape> outer_tensors(const ModelConfig& config) {
  const Family& family = *config.family;
  const TensorNames& names = family.names;
  const int64_t vocab = config.vocab_size, hidden = config.hidden_size;
  const int64_t embedding = config.embedding_size;
  std::vector<TensorShape> out;
  const auto add_matrix = [&](std::string_view name, int64_t rows, int64_t cols) {
    out.push_back({outer_tensor(config, name) + ".weight", {rows, cols}});
  };
  out.push_back({embedding_tensor(config), {vocab, embedding}});
  if (family.positions == Positions::learned) {
    add_matrix(names.positions, config.context + family.position_offset, hidden);
  }
  if (embedding != hidden) {
    add_matrix(names.project_in, hidden, embedding);
    add_matrix(names.project_out, embedding, hidden);
  }
  if (config.final_norm) add_norm(config, outer_tensor(config, names.final_norm), hidden, out);
  if (!config.tied_embeddings) out.push_back({head_tensor(config), {vocab, embedding}});
  return out;
}

std::vector<TensorShape> block_vectors(const ModelConfig& config, int64_t block) {
  const TensorNames& names = config.family->names;
  std::vector<TensorShape> out;
  for (const auto& [name, size] :
       {std::pair{names.input_norm, config.hidden_size},
        std::pair{names.middle_norm, config.hidden_size},
        std::pair{names.query_norm, config.head_dim}, std::pair{names.key_norm, config.head_dim}}) {
    if (!name.empty()) add_norm(config, block_tensor(config, block, name), size, out);
  }
  for (const LinearSpec& spec : config.family->linears) {
    if (!spec.has_bias(config)) continue;
    out.push_back({block_tensor(config, block, spec.name) + ".bias", {spec.rows(config)}});
  }
  return out;
}

}  // namespace bitmill
