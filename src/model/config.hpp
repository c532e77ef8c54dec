#pragma once
// What config.json says about a model, checked against what we compute.

#include <cstdint>
#include <string>

#include "base/files.hpp"

namespace bitmill {

struct Family;  // model/family.hpp

struct ModelConfig {
  const Family* family = nullptr;  // never null once read
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t blocks = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads
  int64_t head_dim = 0;  // even
  int64_t vocab_size = 0;
  int64_t context = 0;  // max_position_embeddings
  double norm_epsilon = 0;
  double rope_theta = 0;
  bool tied_embeddings = false;
};

// Reads folder/config.json. FormatError, naming key and value, for a missing key, an architecture
// that is not in the family table, sizes that do not fit together, or a feature that would change
// the result and is not computed here (rope scaling, biases, another activation).
ModelConfig read_model_config(Files& files, const std::string& folder);

}  // namespace bitmill
