// LLaMA 1, 2 and 3, and the many models that are trained with the same blocks (SmolLM2, TinyLlama,
// Yi, ...). Checked against: tests/golden/models (llama-*, untied-gqa, tied-mha).

#include <array>

#include "model/family_parts.hpp"

namespace bitmill {
namespace {

using namespace family;

constexpr std::array llama_linears = {
    LinearSpec{LinearRole::query, "self_attn.q_proj", query_width, hidden, attention_bias},
    LinearSpec{LinearRole::key, "self_attn.k_proj", key_value_width, hidden, attention_bias},
    LinearSpec{LinearRole::value, "self_attn.v_proj", key_value_width, hidden, attention_bias},
    LinearSpec{LinearRole::attention_output, "self_attn.o_proj", hidden, query_width,
               attention_bias},
    LinearSpec{LinearRole::gate, "mlp.gate_proj", intermediate, hidden, mlp_bias},
    LinearSpec{LinearRole::up, "mlp.up_proj", intermediate, hidden, mlp_bias},
    LinearSpec{LinearRole::down, "mlp.down_proj", hidden, intermediate, mlp_bias},
};
static_assert(in_order(llama_linears));

}  // namespace

constinit const Family llama_family = {
    .architecture = "LlamaForCausalLM",
    .keys = {.attention_bias = {"attention_bias", false}, .mlp_bias = {"mlp_bias", false}},
    .linears = llama_linears,
};

}  // namespace bitmill
