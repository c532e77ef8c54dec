// Mistral 7B and its relatives: LLaMA's blocks, grouped queries unless config.json says otherwise,
// and, in the first version, a sliding window of attention. Checked against: tests/golden/models
// (mistral).

#include <array>

#include "model/family_parts.hpp"

namespace bitmill {
namespace {

using namespace family;

constexpr std::array mistral_linears = {
    LinearSpec{LinearRole::query, "self_attn.q_proj", query_width, hidden, never},
    LinearSpec{LinearRole::key, "self_attn.k_proj", key_value_width, hidden, never},
    LinearSpec{LinearRole::value, "self_attn.v_proj", key_value_width, hidden, never},
    LinearSpec{LinearRole::attention_output, "self_attn.o_proj", hidden, query_width, never},
    LinearSpec{LinearRole::gate, "mlp.gate_proj", intermediate, hidden, never},
    LinearSpec{LinearRole::up, "mlp.up_proj", intermediate, hidden, never},
    LinearSpec{LinearRole::down, "mlp.down_proj", hidden, intermediate, never},
};
static_assert(in_order(mistral_linears));

}  // namespace

constinit const Family mistral_family = {
    .architecture = "MistralForCausalLM",
    .keys = {.kv_heads = {"num_key_value_heads", 8},
             .context = {"max_position_embeddings", 131072},
             .window = WindowRule::always},
    .linears = mistral_linears,
};

}  // namespace bitmill
