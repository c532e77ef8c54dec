#include "model/config_keys.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

namespace bitmill {
namespace {

using nlohmann::json;

// The keys that change nothing. They are those of the configurations of transformers 4 and 5, of
// published models of the families, and of programs that train them.
struct NeutralKeys {
  std::string_view reason;
  std::string_view names;  // between spaces and newlines
};

constexpr std::array neutral_keys = {
    NeutralKeys{"only used while a model is trained",
                R"(
     activation_dropout attention_dropout attention_probs_dropout_prob attn_pdrop
     classifier_dropout dropout embd_pdrop gradient_checkpointing hidden_dropout
     hidden_dropout_prob init_std initializer_range layerdrop neftune_noise_alpha resid_pdrop
     use_recompute)"},
    NeutralKeys{"how a text is drawn from the logits, and which tokens begin, end and fill it",
                R"(
     bad_words_ids begin_suppress_tokens bos_token bos_token_id cache_implementation
     cls_token_id decoder_start_token_id diversity_penalty do_sample early_stopping
     encoder_no_repeat_ngram_size encoder_repetition_penalty eos_token eos_token_id
     epsilon_cutoff eta_cutoff exponential_decay_length_penalty forced_bos_token_id
     forced_eos_token_id generation_config length_penalty mask_token_id max_length
     max_new_tokens max_sequence_length min_length min_new_tokens min_p model_max_length
     no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups
     num_beams num_return_sequences output_scores pad_token pad_token_id prefix
     remove_invalid_values repetition_penalty return_dict_in_generate sep_token_id stop_strings
     suppress_tokens task_specific_params temperature tokenizer_class
     tokenizer_model_max_length tokenizer_padding_side top_k top_p typical_p unk_token_id)"},
    NeutralKeys{"where the model came from, and in which type it is stored: the files of the "
                "tensors say that. (quantization_config is read elsewhere: "
                "format/packed_folder.hpp)",
                R"(
     _commit_hash _name_or_path base_model bf16 bitmill_preprocess dtype finetuning_task fp16 fp32 is_llama_config
     language library_name license model_name name_or_path paddlenlp_version
     quantization_config tags torch_dtype transformers.js_config transformers_version
     unsloth_fixed unsloth_version use_bfloat16)"},
    NeutralKeys{"how a program runs the model: kernels, caches, cuts of the same products",
                R"(
     _attn_implementation _attn_implementation_autoset _attn_implementation_internal
     _experts_implementation_internal _flash_attn_2_enabled attn_implementation
     chunk_size_feed_forward device_map experts_implementation flash_attention is_decoder
     output_attentions output_hidden_states pretraining_tp return_dict tensor_parallel_degree
     tf_legacy_loss tie_last_hidden_states torchscript use_cache use_flash_attention
     use_flash_attn use_flashattn use_fused_rms_norm use_fused_rope use_sdpa virtual_pp_degree)"},
    NeutralKeys{"the stored tensors show it: one too many in a block, or of another shape, is "
                "refused",
                R"(
     add_bias_linear add_qkv_bias attention_bias bias ffn_dim_multiplier fuse_attention_ffn
     fuse_attention_qkv mlp_bias multiple_of no_bias qkv_bias use_bias use_qkv_bias)"},
    NeutralKeys{"of parts that a decoder of these families does not have, whatever the key says",
                R"(
     cross_attention_hidden_size dual_chunk_attention_config id2label label2id
     max_window_layers num_labels problem_type summary_activation summary_first_dropout
     summary_proj_to_labels summary_type summary_use_proj tie_encoder_decoder)"},
};

// A key with which a model computes something else than its family, unless it has one of `fine`.
struct BoundKey {
  const char* name;
  json fine;         // a list of values
  const char* what;  // is not computed
};

const std::array bound_keys = {
    BoundKey{"is_causal", json::array({true}), "attention to later positions"},
    BoundKey{"use_bidirectional_attention", json::array({nullptr, false}),
             "attention to later positions"},
    BoundKey{"is_encoder_decoder", json::array({nullptr, false}), "an encoder"},
    BoundKey{"add_cross_attention", json::array({nullptr, false}), "attention to an encoder"},
    BoundKey{"per_layer_config", json::array({nullptr, json::object()}),
             "a block that differs from the others"},
    BoundKey{"pruned_heads", json::array({nullptr, json::object()}),
             "a block without some of its heads"},
    BoundKey{"attn_logit_softcapping", json::array({nullptr}), "a tanh on attention scores"},
    BoundKey{"final_logit_softcapping", json::array({nullptr}), "a tanh on logits"},
    BoundKey{"clip_qkv", json::array({nullptr}), "clipping of queries, keys and values"},
    BoundKey{"attention_chunk_size", json::array({nullptr}), "attention within chunks"},
    BoundKey{"logit_scale", json::array({nullptr, 1.0}), "a factor of the logits"},
    BoundKey{"logits_scaling", json::array({nullptr, 1.0}), "a factor of the logits"},
    BoundKey{"embedding_multiplier", json::array({nullptr, 1.0}), "a factor of the embeddings"},
    BoundKey{"scale_emb", json::array({nullptr, 1.0}), "a factor of the embeddings"},
    BoundKey{"scale_embeddings", json::array({nullptr, false}), "a factor of the embeddings"},
    BoundKey{"learned_embeddings", json::array({nullptr, true}), "positions that are not learned"},
    BoundKey{"attention_multiplier", json::array({nullptr}), "another scale of attention scores"},
    BoundKey{"residual_multiplier", json::array({nullptr, 1.0}), "a factor of the residuals"},
    BoundKey{"scale_depth", json::array({nullptr}), "a factor of the residuals"},
    BoundKey{"alibi", json::array({nullptr, false}), "a bias of attention by distance"},
    BoundKey{"use_alibi", json::array({nullptr, false}), "a bias of attention by distance"},
    BoundKey{"use_mrope", json::array({nullptr, false}), "rotary positions in several dimensions"},
    BoundKey{"rope_interleaved", json::array({nullptr, false}),
             "rotary positions of neighbouring pairs"},
    BoundKey{"use_dynamic_ntk", json::array({nullptr, false}),
             "rotary positions that follow the length"},
    BoundKey{"use_logn_attn", json::array({nullptr, false}),
             "attention that is scaled by the length"},
    BoundKey{"log_scale", json::array({nullptr, false}), "attention that is scaled by the length"},
    BoundKey{"rope_scaling_type", json::array({nullptr}), "rotary positions that this key names"},
    BoundKey{"rope_scaling_factor", json::array({nullptr, 1.0}),
             "rotary positions that this key scales"},
    BoundKey{"use_qk_norm", json::array({nullptr, false}),
             "a norm of queries and keys that this key names"},
    BoundKey{"qk_norm", json::array({nullptr, false}),
             "a norm of queries and keys that this key names"},
    BoundKey{"qk_layernorm", json::array({nullptr, false}),
             "a norm of queries and keys that this key names"},
    BoundKey{"use_parallel_residual", json::array({nullptr, false}),
             "attention and MLP side by side"},
    BoundKey{"parallel_attn", json::array({nullptr, false}), "attention and MLP side by side"},
    BoundKey{"num_experts", json::array({nullptr, 0}), "a block of several experts"},
    BoundKey{"num_local_experts", json::array({nullptr, 0}), "a block of several experts"},
    BoundKey{"n_routed_experts", json::array({nullptr, 0}), "a block of several experts"},
    BoundKey{"num_nextn_predict_layers", json::array({nullptr, 0}),
             "a block that predicts further tokens"},
    BoundKey{"mtp_num_hidden_layers", json::array({nullptr, 0}),
             "a block that predicts further tokens"},
    BoundKey{"sliding_window", json::array({nullptr}),
             "a window, which this family does not have,"},
    BoundKey{"use_sliding_window", json::array({nullptr, false}),
             "a window, which this family does not have,"},
    BoundKey{"text_config", json::array({nullptr}), "a model inside of another one"},
    BoundKey{"fusion_config", json::array({nullptr}), "a model whose parts are fused"},
    BoundKey{"transformers_weights", json::array({nullptr}), "another file of weights"},
    BoundKey{"quantization", json::array({nullptr}), "the form in which MLX quantizes"},
    BoundKey{"compression_config", json::array({nullptr}), "a compressed form of the weights"},
};

std::map<std::string, std::string_view> make_reasons() {
  std::map<std::string, std::string_view> reasons;
  for (const NeutralKeys& keys : neutral_keys) {
    std::istringstream words{std::string(keys.names)};
    for (std::string name; words >> name;) reasons.emplace(name, keys.reason);
  }
  return reasons;
}

// For families that have no windows: whether every block sees all positions.
bool sees_everything(const json& layer_types) {
  return layer_types.is_null() ||
         (layer_types.is_array() && std::ranges::all_of(layer_types, [](const json& type) {
            return type == "full_attention";
          }));
}

// What a value looks like, cut short.
std::string short_text(const json& value) {
  constexpr size_t longest = 60;
  const std::string text = value.dump();
  return text.size() > longest ? text.substr(0, longest) + "..." : text;
}

// nullptr: the key does not bind.
const BoundKey* find_bound(const std::string& name) {
  const auto* key =
      std::ranges::find(bound_keys, name, [](const BoundKey& bound) { return bound.name; });
  return key == bound_keys.end() ? nullptr : key;
}

// Empty: with this value nothing changes.
std::string bound_problem(const BoundKey& key, const json& value) {
  if (std::ranges::find(key.fine, value) != key.fine.end()) return "";
  std::vector<std::string> others;
  for (const json& fine : key.fine) {
    if (!fine.is_null()) others.push_back(fine.dump());
  }
  return fmt::format(
      "\"{}\" is {}: {} is not computed. Remove the key{} if the model was not trained with it",
      key.name, short_text(value), key.what,
      others.empty() ? "" : fmt::format(" or set it to {}", fmt::join(others, " or ")));
}

std::string unknown_problem(const std::string& name, const json& value) {
  const std::string way_out =
      fmt::format("give --allow-key {} if it changes nothing that is computed", name);
  if (name == "auto_map") {
    return fmt::format(
        "\"auto_map\" names Python code of the model's own ({}), which is not run; {}: that is, if "
        "this code computes what the family's own code does",
        short_text(value), way_out);
  }
  return fmt::format("\"{}\" ({}) is not a key that bitmill knows; {}", name, short_text(value),
                     way_out);
}

}  // namespace

std::string_view why_neutral(const std::string& key) {
  static const std::map<std::string, std::string_view> reasons = make_reasons();
  const auto found = reasons.find(key);
  return found == reasons.end() ? std::string_view() : found->second;
}

void check_unread_keys(ConfigFields& fields, const std::string& inside,
                       std::span<const std::string> allowed, std::vector<std::string>& used) {
  constexpr int most = 20;  // unknown keys that are listed: a file may hold a million
  int unknown = 0;
  for (const std::string& key : fields.unread()) {
    const std::string name = inside + key;
    const json& value = fields.object().at(key);
    const BoundKey* bound = inside.empty() ? find_bound(key) : nullptr;
    if (bound != nullptr) {
      const std::string problem = bound_problem(*bound, value);
      fields.require(problem.empty(), problem);
    } else if (inside.empty() && key == "layer_types") {
      fields.require(sees_everything(value),
                     "\"layer_types\" names blocks that do not see all positions, which the family "
                     "does not have; remove the key if the model was not trained so");
    } else if (inside.empty() && !why_neutral(key).empty()) {
      continue;
    } else if (std::ranges::find(allowed, name) != allowed.end()) {
      used.push_back(name);
    } else {
      if (++unknown <= most) fields.require(false, unknown_problem(name, value));
    }
  }
  fields.require(unknown <= most,
                 fmt::format("and {} more keys that bitmill does not know", unknown - most));
}

}  // namespace bitmill
