// Qwen 3 (dense): LLaMA's blocks with a norm on every head of queries and keys, whose size does not
// follow from hidden_size. Checked against: tests/golden/models (qwen3).

#include <array>

#include "model/family_parts.hpp"

namespace bitmill {
namespace {

using namespace family;

constexpr std::array qwen3_linears = {
    LinearSpec{LinearRole::query, "self_attn.q_proj", query_width, hidden, attention_bias},
    LinearSpec{LinearRole::key, "self_attn.k_proj", key_value_width, hidden, attention_bias},
    LinearSpec{LinearRole::value, "self_attn.v_proj", key_value_width, hidden, attention_bias},
    LinearSpec{LinearRole::attention_output, "self_attn.o_proj", hidden, query_width,
               attention_bias},
    LinearSpec{LinearRole::gate, "mlp.gate_proj", intermediate, hidden, never},
    LinearSpec{LinearRole::up, "mlp.up_proj", intermediate, hidden, never},
    LinearSpec{LinearRole::down, "mlp.down_proj", hidden, intermediate, never},
};
static_assert(in_order(qwen3_linears));

}  // namespace

constinit const Family qwen3_family = {
    .architecture = "Qwen3ForCausalLM",
    .keys = {.kv_heads = {"num_key_value_heads", 32},
             .head_dim = {"head_dim", 128},
             .context = {"max_position_embeddings", 32768},
             .attention_bias = {"attention_bias", false},
             .window = WindowRule::when_used},
    .names = {.query_norm = "self_attn.q_norm", .key_norm = "self_attn.k_norm"},
    .linears = qwen3_linears,
};

}  // namespace bitmill
