#pragma once
// A decoder on disk, 16-bit or packed, read one block at a time. Everything that runs a model
// forward reads it here and does not know which of the two it is.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/tensor_folder.hpp"
#include "model/config.hpp"
#include "model/family.hpp"

namespace bitmill {

// Weights of one block, float32 on the CPU. Packed linears come dequantized.
struct BlockWeights {
  at::Tensor input_norm;            // [hidden]
  at::Tensor middle_norm;           // [hidden]
  std::vector<at::Tensor> linears;  // by role, [rows, cols]
};

// Final norm and head, float32.
struct HeadWeights {
  at::Tensor norm;  // [hidden]
  at::Tensor head;  // [vocab, hidden]
};

// What does not fit between the tensors of a folder and its config.json: a sentence each. Nothing
// about tensors of shards that could not be opened.
std::vector<std::string> tensor_problems(const TensorFolder& tensors, const ModelConfig& config);

class SourceModel {
 public:
  // Checks that every tensor is there with its right shape and a float dtype: FormatError lists
  // all that are not.
  SourceModel(Files& files, const std::string& folder);

  const ModelConfig& config() const { return config_; }
  const std::string& folder() const { return tensors_.path(); }
  const TensorFolder& tensors() const { return tensors_; }

  // NumericError names a tensor with a value that is not finite.
  BlockWeights load_block(int64_t block) const;
  HeadWeights load_head() const;
  // The embeddings of these tokens, [ids, hidden] float32, read row by row: the embedding of a
  // large vocabulary is never in memory. Ids lie in [0, vocab_size). NumericError as above.
  at::Tensor embed(std::span<const int32_t> ids) const;

 private:
  at::Tensor load_vector(const std::string& name) const;  // [hidden]
  at::Tensor load_matrix(const std::string& name, int64_t rows, int64_t cols) const;
  at::Tensor load_linear(const LinearShape& shape) const;

  ModelConfig config_;
  TensorFolder tensors_;
};

}  // namespace bitmill
