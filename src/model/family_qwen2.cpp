// Qwen 1.5, 2 and 2.5: LLaMA's blocks with biases on queries, keys and values. Checked against:
// tests/golden/models (qwen2).

#include <array>

#include "model/family_parts.hpp"

namespace bitmill {
namespace {

using namespace family;

constexpr std::array qwen2_linears = {
    LinearSpec{LinearRole::query, "self_attn.q_proj", query_width, hidden, always},
    LinearSpec{LinearRole::key, "self_attn.k_proj", key_value_width, hidden, always},
    LinearSpec{LinearRole::value, "self_attn.v_proj", key_value_width, hidden, always},
    LinearSpec{LinearRole::attention_output, "self_attn.o_proj", hidden, query_width, never},
    LinearSpec{LinearRole::gate, "mlp.gate_proj", intermediate, hidden, never},
    LinearSpec{LinearRole::up, "mlp.up_proj", intermediate, hidden, never},
    LinearSpec{LinearRole::down, "mlp.down_proj", hidden, intermediate, never},
};
static_assert(in_order(qwen2_linears));

}  // namespace

constinit const Family qwen2_family = {
    .architecture = "Qwen2ForCausalLM",
    .keys = {.kv_heads = {"num_key_value_heads", 32},
             .context = {"max_position_embeddings", 32768},
             .window = WindowRule::when_used},
    .linears = qwen2_linears,
};

}  // namespace bitmill
