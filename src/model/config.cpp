#include "model/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "format/config_file.hpp"
#include "format/handover/loading_keys.hpp"
#include "format/packed_folder.hpp"
#include "model/config_fields.hpp"
#include "model/config_keys.hpp"
#include "model/family.hpp"
#include "model/rope_config.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr int64_t largest_matrix = int64_t{1} << 40;  // elements
constexpr int64_t default_full_blocks = 28;           // blocks without the window, in Qwen 2 and 3

using ActivationName = std::pair<std::string_view, Activation>;
constexpr std::array<ActivationName, 10> activations = {{
    {"silu", Activation::silu},
    {"swish", Activation::silu},
    {"relu", Activation::relu},
    {"gelu", Activation::gelu},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    // transformers writes the same function in other steps: equal but for the last bits.
    {"gelu_new", Activation::gelu_tanh},
    {"gelu_fast", Activation::gelu_tanh},
    {"gelu_accurate", Activation::gelu_tanh},
    {"gelu_python_tanh", Activation::gelu_tanh},
    {"gelu_python", Activation::gelu},
}};

// What to do about a model that is described inside of another one's config.json.
std::string advice_on_inner_model(const ConfigFields& fields) {
  const json inner = fields.object().value("text_config", json());
  if (!inner.is_object()) return "";
  return "; its language model is described in \"text_config\": write the keys that are in there, "
         "with the \"architectures\" of the language model, as config.json of a folder with these "
         "weights, and say with --tensor-prefix what the names of its tensors begin with";
}

// transformers goes by model_type and never looks at architectures. A file in which the two name
// different families was edited, and nobody knows which of them the weights belong to.
void check_model_type(ConfigFields& fields, const Family& family) {
  const std::string type = fields.text_or("model_type", std::string(family.model_type));
  const Family* other = find_family_of_type(type);
  fields.require(
      type == family.model_type,
      fmt::format("\"model_type\" is \"{}\"{}, and \"architectures\" says {}, whose type is "
                  "\"{}\": they contradict each other; correct the one that is wrong",
                  type,
                  other == nullptr ? "" : fmt::format(", the type of {}", other->architecture),
                  family.architecture, family.model_type));
}

const Family* read_family(ConfigFields& fields) {
  fields.saw("architectures");
  const json names = fields.object().value("architectures", json());
  if (!names.is_array() || names.empty() || !names.front().is_string()) {
    fields.require(false,
                   "\"architectures\" must be a list that begins with the name of an architecture");
    return nullptr;
  }
  const auto architecture = names.front().get<std::string>();
  const Family* family = find_family(architecture);
  const std::string_view reason = why_not_computed(architecture);
  fields.require(family != nullptr,
                 fmt::format("architecture \"{}\" is not one that bitmill computes{}{}; it knows "
                             "{}{}",
                             architecture, reason.empty() ? "" : ": ", reason,
                             known_architectures(), advice_on_inner_model(fields)));
  if (family != nullptr) check_model_type(fields, *family);
  return family;
}

bool flag(ConfigFields& fields, const ConfigKey<bool>& key) {
  return key.name == nullptr ? key.fallback : fields.flag_or(key.name, key.fallback);
}

// The size under this key, or the family's fallback; `derived` where neither gives one.
int64_t size(ConfigFields& fields, const ConfigKey<int64_t>& key, int64_t derived) {
  const int64_t fallback = key.fallback > 0 ? key.fallback : std::max<int64_t>(derived, 1);
  return key.name == nullptr ? fallback : fields.size_or(key.name, fallback);
}

// A missing key means the family's number of key heads; null means as many as query heads.
int64_t read_kv_heads(ConfigFields& fields, const ConfigKey<int64_t>& key, int64_t heads) {
  if (key.name != nullptr) fields.saw(key.name);
  const bool is_null = key.name != nullptr && fields.object().contains(key.name) &&
                       fields.object().at(key.name).is_null();
  return is_null ? heads : size(fields, key, heads);
}

Activation read_activation(ConfigFields& fields, const ConfigKey<const char*>& key) {
  const std::string name = fields.text_or(key.name, key.fallback);
  const auto it = std::ranges::find(activations, name, &ActivationName::first);
  if (it != activations.end()) return it->second;
  std::vector<std::string_view> known;
  for (const auto& [computed, activation] : activations) known.push_back(computed);
  fields.require(false, fmt::format("\"{}\" is \"{}\"; computed are {}", key.name, name,
                                    fmt::join(known, ", ")));
  return Activation::silu;
}

// Whether "layer_types" names a block that has the window.
bool names_windowed_block(ConfigFields& fields) {
  if (!fields.has("layer_types")) return false;
  const json& types = fields.object().at("layer_types");
  const bool known = types.is_array() && std::ranges::all_of(types, [](const json& type) {
                       return type == "full_attention" || type == "sliding_attention";
                     });
  fields.require(known, fmt::format("\"layer_types\" must be a list of \"full_attention\" and "
                                    "\"sliding_attention\", and is {}",
                                    types.dump()));
  return known && std::ranges::find(types, json("sliding_attention")) != types.end();
}

// For a config.json that says block by block which have the window: whether some block has it.
bool has_windowed_block(ConfigFields& fields, int64_t blocks) {
  const bool used = fields.flag_or("use_sliding_window", false);
  const bool named = names_windowed_block(fields);
  const int64_t full_blocks = fields.size_or("max_window_layers", default_full_blocks, 0);
  fields.require(used || !named,
                 "\"layer_types\" has \"sliding_attention\", and \"use_sliding_window\" is not "
                 "true; the two contradict each other");
  return used && (fields.has("layer_types") ? named : full_blocks < blocks);
}

int64_t read_window(ConfigFields& fields, WindowRule rule, int64_t blocks) {
  constexpr int64_t default_window = 4096;  // of both families that have one
  if (rule == WindowRule::none) return 0;
  fields.saw("sliding_window");
  if (rule == WindowRule::always) {
    // transformers asks neither of them: the window is in every block.
    names_windowed_block(fields);
    fields.saw("use_sliding_window");
  }
  if (rule == WindowRule::when_used && !has_windowed_block(fields, blocks)) return 0;
  const json& object = fields.object();
  if (object.contains("sliding_window") && object.at("sliding_window").is_null()) return 0;
  return fields.size_or("sliding_window", default_window);
}

// Which blocks have the window, where some block has it.
void read_windowed_blocks(ConfigFields& fields, WindowRule rule, ModelConfig& config) {
  if (rule == WindowRule::always) return;
  if (!fields.has("layer_types")) {
    config.first_windowed_block = fields.size_or("max_window_layers", default_full_blocks, 0);
    return;
  }
  const json& types = fields.object().at("layer_types");
  const bool fits = types.is_array() && std::ssize(types) == config.blocks;
  fields.require(fits, fmt::format("\"layer_types\" must be a list of {} words, one for each block",
                                   config.blocks));
  if (!fits) return;
  for (const json& type : types) config.windowed_blocks.push_back(type == "sliding_attention");
}

void read_sizes(ConfigFields& fields, const ConfigKeys& keys, ModelConfig& config) {
  config.hidden_size = fields.size("hidden_size");
  config.intermediate_size = fields.size(keys.intermediate_size);
  config.blocks = fields.size("num_hidden_layers");
  config.heads = fields.size("num_attention_heads");
  config.vocab_size = fields.size("vocab_size");
  config.kv_heads = read_kv_heads(fields, keys.kv_heads, config.heads);
  config.head_dim = size(fields, keys.head_dim, config.hidden_size / config.heads);
  config.embedding_size = size(fields, keys.embedding_size, config.hidden_size);
  config.context = size(fields, keys.context, 0);
}

void read_features(ConfigFields& fields, const Family& family,
                   const std::vector<std::string>& allowed, ModelConfig& config) {
  const ConfigKeys& keys = family.keys;
  config.norm_epsilon =
      keys.norm_epsilon.name == nullptr
          ? keys.norm_epsilon.fallback
          : fields.positive_or(keys.norm_epsilon.name, keys.norm_epsilon.fallback);
  config.activation = read_activation(fields, keys.activation);
  config.attention_bias = flag(fields, keys.attention_bias);
  config.mlp_bias = flag(fields, keys.mlp_bias);
  config.norm_first = flag(fields, keys.norm_first);
  config.norm_weights = flag(fields, keys.norm_weights);
  const bool no_final_norm = flag(fields, keys.no_final_norm);
  config.final_norm = config.norm_first && !no_final_norm;
  config.tied_embeddings = flag(fields, keys.tied_embeddings);
  config.window = read_window(fields, keys.window, config.blocks);
  if (config.window > 0) read_windowed_blocks(fields, keys.window, config);
  if (family.positions == Positions::rotary) {
    config.rope = read_rope(fields, config.context, allowed, config.allowed_keys);
  }
}

void check_heads(ConfigFields& fields, const ModelConfig& config) {
  fields.require(config.heads % config.kv_heads == 0,
                 fmt::format("\"num_attention_heads\" is {}, not a multiple of "
                             "\"num_key_value_heads\", which is {}",
                             config.heads, config.kv_heads));
  const bool rotary = config.family->positions == Positions::rotary;
  fields.require(
      !rotary || config.head_dim % 2 == 0,
      fmt::format("\"head_dim\" is {}; rotary positions need an even one", config.head_dim));
  const ConfigKey<int64_t>& key = config.family->keys.head_dim;
  const bool derived = key.fallback == 0 && (key.name == nullptr || !fields.has(key.name));
  fields.require(
      !derived || config.hidden_size % config.heads == 0,
      fmt::format("\"hidden_size\" is {}, not a multiple of \"num_attention_heads\", which is "
                  "{}{}",
                  config.hidden_size, config.heads,
                  key.name == nullptr ? "" : ", and there is no \"head_dim\""));
}

void check_matrices(ConfigFields& fields, const ModelConfig& config) {
  // rows * cols could overflow: both are at most 2^31, and heads * head_dim at most 2^62. So this
  // compares without multiplying.
  const auto fits = [](int64_t rows, int64_t cols) { return rows <= largest_matrix / cols; };
  const bool attention_fits = fits(config.heads, config.head_dim) &&
                              fits(config.heads * config.head_dim, config.hidden_size);
  const bool embedding_fits = fits(config.vocab_size, config.embedding_size) &&
                              fits(config.hidden_size, config.embedding_size) &&
                              fits(config.context + 2, config.hidden_size);
  fields.require(
      attention_fits && embedding_fits && fits(config.intermediate_size, config.hidden_size),
      fmt::format("a matrix would have more than {} elements; \"hidden_size\" is {}, \"{}\" {}, "
                  "\"vocab_size\" {}, \"num_attention_heads\" {}, head_dim {}",
                  largest_matrix, config.hidden_size, config.family->keys.intermediate_size,
                  config.intermediate_size, config.vocab_size, config.heads, config.head_dim));
}

ModelConfig read_config(ConfigFields& fields, const std::vector<std::string>& allowed) {
  ModelConfig config;
  config.family = read_family(fields);
  if (config.family != nullptr) {  // without it there are no keys to look for
    config.tensor_prefix = config.family->names.prefix;
    read_sizes(fields, config.family->keys, config);
    read_features(fields, *config.family, allowed, config);
    check_unread_keys(fields, "", allowed, config.allowed_keys);
  }
  // A size that could not be read is 1 here: checks on it would only add false problems.
  if (fields.problems().empty()) {
    check_heads(fields, config);
    check_matrices(fields, config);
  }
  BITMILL_CHECK(fields.problems().empty(), FormatError,
                fmt::format("{}", fmt::join(fields.problems(), "\n")));
  return config;
}

}  // namespace

ModelConfig read_model_config(Files& files, const std::string& folder,
                              const ModelReading& reading) {
  json object = read_config_json(files, folder);
  std::vector<std::string> allowed = reading.allowed_keys;
  // throws for what another tool, or a newer bitmill, quantized
  if (is_packed_folder(files, folder)) {
    for (const std::string& key : recorded_allowed_keys(object)) allowed.push_back(key);
    remove_loading_keys(object);
  }
  ConfigFields fields(object, join_path(folder, "config.json"));
  return read_config(fields, allowed);
}

std::string_view name_of(Activation activation) {
  return std::ranges::find(activations, activation, &ActivationName::second)->first;
}

std::string_view name_of(RopeScaling scaling) {
  switch (scaling) {
    case RopeScaling::none:
      return "default";
    case RopeScaling::linear:
      return "linear";
    case RopeScaling::llama3:
      return "llama3";
  }
  return {};
}

int64_t window_of(const ModelConfig& config, int64_t block) {
  const bool has_window = config.windowed_blocks.empty()
                              ? block >= config.first_windowed_block
                              : static_cast<bool>(config.windowed_blocks[block]);
  return has_window ? config.window : 0;
}

int64_t longest_sequence(const ModelConfig& config) {
  return config.window > 0 ? std::min(config.window, config.context) : config.context;
}

void check_sequence_length(const ModelConfig& config, const std::string& folder, int64_t seq_len) {
  const int64_t longest = longest_sequence(config);
  const bool in_context = seq_len <= config.context;
  BITMILL_CHECK(
      seq_len <= longest, UsageError,
      fmt::format("sequences of {} tokens are longer than the {} of {}, {}: choose "
                  "--seq-len {} or less",
                  seq_len, in_context ? "sliding window (which is not computed)" : "context",
                  folder, in_context ? config.window : config.context, longest));
}

}  // namespace bitmill
