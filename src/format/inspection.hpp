#pragma once
// Counts every bit that a packed folder stores. Reads headers and masks only.

#include <string>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

struct LinearCount {
  std::string name;  // of the weight in the 16-bit folder
  int64_t rows = 0, cols = 0, salient_cols = 0;
  int64_t bits = 0;  // of all its tensors

  double bits_per_weight() const;
};

struct BlockCount {
  int64_t block = 0;
  int64_t weights = 0;  // of its packed linears
  int64_t bits = 0;
};

struct Inspection {
  std::vector<LinearCount> linears;  // in block order
  std::vector<BlockCount> blocks;
  int64_t linear_weights = 0, linear_bits = 0;
  int64_t other_parameters = 0, other_bits = 0;  // embeddings, norms, linears kept in 16 bits
  int64_t tensor_bytes = 0;                      // == (linear_bits + other_bits) / 8
  int64_t file_bytes = 0;                        // of the safetensors files, headers included

  double bits_per_weight() const;     // of the packed linears
  double bits_per_parameter() const;  // 8 * file_bytes over all parameters
};

// Works on 16-bit folders too; then there are no packed linears.
Inspection inspect_folder(Files& files, const std::string& folder);

}  // namespace bitmill
