#pragma once
// A model family as a table: tensor names and shapes. Adding one: see CONTRIBUTING.md.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.hpp"

namespace bitmill {

// What a linear does in its block. The order is that of evaluation.
enum class LinearRole { query, key, value, attention_output, gate, up, down };
inline constexpr int linears_per_block = 7;

// A size that a config fixes.
using SizeOf = int64_t (*)(const ModelConfig&);

struct LinearSpec {
  LinearRole role;
  std::string_view name;  // after the block's prefix, without ".weight"
  SizeOf rows;            // out features
  SizeOf cols;            // in features
};

struct Family {
  std::string_view architecture;        // config.json: architectures[0]
  std::string_view embedding;           // [vocab, hidden]
  std::string_view final_norm;          // [hidden]
  std::string_view head;                // [vocab, hidden]; absent where embeddings are tied
  std::string_view block_prefix;        // followed by the block's number and a dot
  std::string_view input_norm;          // [hidden], after the block's prefix
  std::string_view middle_norm;         // [hidden], after the block's prefix
  std::span<const LinearSpec> linears;  // linears_per_block of them, by role
};

// nullptr when the architecture is unknown.
const Family* find_family(std::string_view architecture);
// For messages: "LlamaForCausalLM, ...".
std::string known_architectures();

struct LinearShape {
  std::string tensor;  // full name, with ".weight"
  LinearRole role = LinearRole::query;
  int64_t rows = 0;
  int64_t cols = 0;
};

// The linears of one block, by role.
std::vector<LinearShape> block_linears(const ModelConfig& config, int64_t block);
// "<prefix><block>.<name>"
std::string block_tensor(const ModelConfig& config, int64_t block, std::string_view name);

}  // namespace bitmill
