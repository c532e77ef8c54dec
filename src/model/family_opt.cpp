// OPT: learned positions, layer norms, biases on every linear, no gate. OPT-350m has its norms
// after the residual sums, no final norm, and embeddings narrower than its blocks. Checked against:
// tests/golden/models (opt, opt-post-norm).

#include <array>

#include "model/family_parts.hpp"

namespace bitmill {
namespace {

using namespace family;

constexpr std::array opt_linears = {
    LinearSpec{LinearRole::query, "self_attn.q_proj", hidden, hidden, attention_bias},
    LinearSpec{LinearRole::key, "self_attn.k_proj", hidden, hidden, attention_bias},
    LinearSpec{LinearRole::value, "self_attn.v_proj", hidden, hidden, attention_bias},
    LinearSpec{LinearRole::attention_output, "self_attn.out_proj", hidden, hidden, attention_bias},
    LinearSpec{LinearRole::up, "fc1", intermediate, hidden, mlp_bias},
    LinearSpec{LinearRole::down, "fc2", hidden, intermediate, mlp_bias},
};
static_assert(in_order(opt_linears));

}  // namespace

constinit const Family opt_family = {
    .architecture = "OPTForCausalLM",
    .keys = {.intermediate_size = "ffn_dim",
             .kv_heads = {nullptr, 0},
             .head_dim = {nullptr, 0},
             .embedding_size = {"word_embed_proj_dim", 0},
             .norm_epsilon = {nullptr, 1e-5},
             .activation = {"activation_function", "relu"},
             .attention_bias = {"enable_bias", true},
             .mlp_bias = {"enable_bias", true},
             .norm_first = {"do_layer_norm_before", true},
             .norm_weights = {"layer_norm_elementwise_affine", true},
             .no_final_norm = {"_remove_final_layer_norm", false},
             .tied_embeddings = {"tie_word_embeddings", true}},
    .names = {.prefix = "model.decoder.",
              .positions = "embed_positions",
              .project_in = "project_in",
              .project_out = "project_out",
              .final_norm = "final_layer_norm",
              .input_norm = "self_attn_layer_norm",
              .middle_norm = "final_layer_norm"},
    .norm = NormKind::layer,
    .positions = Positions::learned,
    // The table has two rows before position 0. They were for padding in training.
    .position_offset = 2,
    .linears = opt_linears,
};

}  // namespace bitmill
