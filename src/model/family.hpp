#pragma once
// A model family as a table: how its config.json is read, what its tensors are called, and which of
// the few kinds of norm, position and activation it has. One page each: family_<name>.cpp. Adding
// one: see CONTRIBUTING.md.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.hpp"

namespace bitmill {

// What a linear does in its block. A block has some of these roles. This is also the order in which
// they are evaluated.
enum class LinearRole { query, key, value, attention_output, gate, up, down };

// Sizes and conditions that depend on the config.
using SizeOf = int64_t (*)(const ModelConfig&);
using Condition = bool (*)(const ModelConfig&);

struct LinearSpec {
  LinearRole role;
  std::string_view name;  // after the block's prefix, without ".weight" and ".bias"
  SizeOf rows;            // out features
  SizeOf cols;            // in features
  Condition has_bias;
};

enum class NormKind { rms, layer };
enum class Positions { rotary, learned };

// A key of config.json, and the value that the transformers library takes where the key is missing.
// When `name` is null there is no such key: the family's value is always `fallback`.
template <class Value>
struct ConfigKey {
  const char* name;
  Value fallback;
};

// When a position sees only the last `sliding_window` positions, in some block.
enum class WindowRule {
  none,
  always,    // "sliding_window", unless it is null
  when_used  // the same where "use_sliding_window" is true: in the blocks that "layer_types" names,
             // or in all from "max_window_layers" on
};

struct ConfigKeys {
  const char* intermediate_size = "intermediate_size";
  ConfigKey<int64_t> kv_heads = {"num_key_value_heads", 0};  // 0: num_attention_heads
  ConfigKey<int64_t> head_dim = {"head_dim", 0};             // 0: hidden_size / heads
  ConfigKey<int64_t> embedding_size = {nullptr, 0};          // 0: hidden_size
  ConfigKey<int64_t> context = {"max_position_embeddings", 2048};
  ConfigKey<double> norm_epsilon = {"rms_norm_eps", 1e-6};
  ConfigKey<const char*> activation = {"hidden_act", "silu"};
  ConfigKey<bool> attention_bias = {nullptr, false};
  ConfigKey<bool> mlp_bias = {nullptr, false};
  ConfigKey<bool> norm_first = {nullptr, true};
  ConfigKey<bool> norm_weights = {nullptr, true};
  ConfigKey<bool> no_final_norm = {nullptr, false};
  ConfigKey<bool> tied_embeddings = {"tie_word_embeddings", false};
  WindowRule window = WindowRule::none;
};

// Without ".weight" and ".bias"; empty where the family has no such tensor.
struct TensorNames {
  // Of all tensors but the head. Files that were saved from a model without its head lack the first
  // part.
  std::string_view prefix = "model.";
  // After the prefix.
  std::string_view embedding = "embed_tokens";  // [vocab, embedding]
  std::string_view positions = {};              // [context + position_offset, hidden]
  std::string_view project_in = {};             // [hidden, embedding]; where the sizes differ
  std::string_view project_out = {};            // [embedding, hidden]; the same
  std::string_view final_norm = "norm";         // [hidden]
  std::string_view blocks = "layers.";          // followed by the block's number and a dot
  // After the block's prefix.
  std::string_view input_norm = "input_layernorm";            // [hidden]
  std::string_view middle_norm = "post_attention_layernorm";  // [hidden]
  std::string_view query_norm = {};                           // [head_dim], of every head
  std::string_view key_norm = {};                             // [head_dim]
  // By itself; absent where embeddings are tied.
  std::string_view head = "lm_head";  // [vocab, embedding]
};

struct Family {
  std::string_view architecture;  // config.json: architectures[0]
  std::string_view model_type;    // config.json: model_type
  ConfigKeys keys = {};
  TensorNames names = {};
  NormKind norm = NormKind::rms;
  Positions positions = Positions::rotary;
  int64_t position_offset = 0;  // learned positions begin at this row
  std::span<const LinearSpec> linears;

  bool is_gated() const { return position(LinearRole::gate) >= 0; }
  // The index among `linears` of the one with this role; -1: there is none.
  int64_t position(LinearRole role) const;
};

// nullptr when the architecture is unknown.
const Family* find_family(std::string_view architecture);
const Family* find_family_of_type(std::string_view model_type);
// For messages: "LlamaForCausalLM, ...".
std::string known_architectures();
// For some architectures that people often try: why they are not computed. Empty for others.
std::string_view why_not_computed(std::string_view architecture);

struct LinearShape {
  std::string tensor;  // full name, with ".weight"
  LinearRole role = LinearRole::query;
  int64_t rows = 0;
  int64_t cols = 0;
};

// The linears of one block. A linear's position in this list is its number everywhere.
std::vector<LinearShape> block_linears(const ModelConfig& config, int64_t block);
// "<prefix><name>", with the prefix of the folder's tensors.
std::string outer_tensor(const ModelConfig& config, std::string_view name);
// "<prefix><block>.<name>", the same for one block.
std::string block_tensor(const ModelConfig& config, int64_t block, std::string_view name);

// With ".weight". One name where the two are one tensor.
std::string embedding_tensor(const ModelConfig& config);  // [vocab, embedding]
std::string head_tensor(const ModelConfig& config);       // [vocab, embedding]

struct TensorShape {
  std::string name;
  std::vector<int64_t> shape;
};

// All tensors outside the blocks.
std::vector<TensorShape> outer_tensors(const ModelConfig& config);
// All tensors of one block except the matrices of its linears.
std::vector<TensorShape> block_vectors(const ModelConfig& config, int64_t block);

}  // namespace bitmill
