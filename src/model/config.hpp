#pragma once
// What config.json says about a model, checked against what we compute.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

struct Family;  // model/family.hpp

enum class Activation { silu, relu, gelu, gelu_tanh };
std::string_view name_of(Activation activation);  // as config.json has it

// How the frequencies of rotary positions depart from theta^(-2i / head_dim).
enum class RopeScaling {
  none,
  linear,  // all divided by factor
  llama3   // long wavelengths divided by factor, short ones kept, a ramp in between
};
std::string_view name_of(RopeScaling scaling);

struct RopeConfig {
  double theta = 0;
  RopeScaling scaling = RopeScaling::none;
  double factor = 1;
  // llama3 alone: wavelengths above original_context / low_freq_factor are long, those below
  // original_context / high_freq_factor short.
  double low_freq_factor = 0;
  double high_freq_factor = 0;
  int64_t original_context = 0;
};

// What the user says about how a model's folder is to be read.
struct ModelReading {
  // Keys of config.json that nobody knows, and that change nothing: the user has looked.
  // "rope_scaling.name" for one inside of another.
  std::vector<std::string> allowed_keys;
  // Is cut off the names of the tensors that begin with it.
  std::string tensor_prefix;
};

struct ModelConfig {
  const Family* family = nullptr;  // never null once read
  // The names of all tensors but the head begin with this. It is the family's prefix, until a
  // folder is opened whose names lack the first part of it.
  std::string tensor_prefix;
  int64_t hidden_size = 0;
  int64_t embedding_size = 0;  // not equal to hidden_size: there are projections in and out
  int64_t intermediate_size = 0;
  int64_t blocks = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads
  int64_t head_dim = 0;  // even where positions are rotary
  int64_t vocab_size = 0;
  int64_t context = 0;  // max_position_embeddings
  int64_t window = 0;   // positions that one sees in some block, itself included; 0: all
  int64_t first_windowed_block = 0;   // has the window, and so has every block after it, unless
  std::vector<bool> windowed_blocks;  // [blocks] says otherwise; empty: it says nothing
  double norm_epsilon = 0;
  RopeConfig rope;  // where positions are rotary
  Activation activation = Activation::silu;
  bool attention_bias = false;
  bool mlp_bias = false;
  bool norm_first = true;    // norms before attention and MLP; false: after the residual sums
  bool norm_weights = true;  // false: norms do not scale and shift
  bool final_norm = true;
  // Head and embedding are one tensor. config.json says so; once a folder is opened: and it does
  // not store both.
  bool tied_embeddings = false;
  bool only_head_stored = false;          // under the name of the head; only where they are one
  std::vector<std::string> allowed_keys;  // those of ModelReading that config.json has
};

// Reads folder/config.json. FormatError names the key and value of everything that is wrong, all at
// once: a missing key, an architecture that is not in the family table, sizes that do not fit
// together, a feature that would change the result and is not computed here, a key that nobody
// knows. Keys that were allowed when a packed folder was made are allowed in it.
ModelConfig read_model_config(Files& files, const std::string& folder,
                              const ModelReading& reading = {});

// Positions that a token of this block sees, itself included; 0: all.
int64_t window_of(const ModelConfig& config, int64_t block);

// The longest sequence that is computed right: the context, or a sliding window that is shorter.
int64_t longest_sequence(const ModelConfig& config);

// UsageError for sequences that are longer. It names the model's folder and advises --seq-len.
void check_sequence_length(const ModelConfig& config, const std::string& folder, int64_t seq_len);

}  // namespace bitmill
