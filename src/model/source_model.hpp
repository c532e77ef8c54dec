#pragma once
// A decoder on disk, 16-bit or packed, read one block at a time. All code that runs a model forward
// reads it through this class and does not know which of the two it is.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "base/hash.hpp"
#include "format/tensor_folder.hpp"
#include "model/config.hpp"
#include "model/family.hpp"
#include "model/norm.hpp"

namespace bitmill {

// What a block has beside its matrices, in float32. It is never quantized.
struct BlockVectors {
  Norm input_norm;                 // [hidden]
  Norm middle_norm;                // [hidden]
  Norm query_norm;                 // [head_dim]; of families that have them
  Norm key_norm;                   // [head_dim]
  std::vector<at::Tensor> biases;  // of every linear, [rows]; undefined: it has none
};

// Weights of one block, float32 on the CPU. Packed linears come dequantized.
struct BlockWeights {
  BlockVectors vectors;
  std::vector<at::Tensor> linears;  // as block_linears(), [rows, cols]
};

// From the last block's output to logits, float32.
struct HeadWeights {
  Norm norm;              // [hidden]
  at::Tensor projection;  // [embedding, hidden]; undefined where the sizes are the same
  at::Tensor head;        // [vocab, embedding]
};

class SourceModel {
 public:
  // Checks that every tensor is there, with the right shape and a float dtype, that no block holds
  // other tensors, and that nothing beside the tensors changes them. FormatError lists all that are
  // wrong.
  SourceModel(Files& files, const std::string& folder, const ModelReading& reading = {});

  const ModelConfig& config() const { return config_; }
  const std::string& folder() const { return tensors_.path(); }
  const TensorFolder& tensors() const { return tensors_; }
  // One sentence for each thing in the folder that the user should know.
  const std::vector<std::string>& notes() const { return notes_; }

  // NumericError names a tensor with a value that is not finite.
  BlockWeights load_block(int64_t block) const;
  // Parts of the same: all that is not a matrix, and the matrix [rows, cols] of one of
  // block_linears(). `hashes`, where given, gets those of the tensors that were read; of a packed
  // linear none.
  BlockVectors load_vectors(int64_t block, TensorHashes* hashes = nullptr) const;
  at::Tensor load_linear(const LinearShape& shape, TensorHashes* hashes = nullptr) const;
  // `like` is the head of another model. Matrices with equal values share its memory: packing does
  // not change the head, and with a large vocabulary it is larger than a block.
  HeadWeights load_head(const HeadWeights& like = {}) const;
  // The same without the head's matrix, which is the tensor head_tensor() of the config.
  HeadWeights load_head_input() const;
  // The input of the first block for these tokens at positions first, first + 1, ...: [ids, hidden]
  // float32. The embedding matrix is read row by row and is never in memory as a whole. REQUIRES:
  // ids in [0, vocab_size), and positions in the context. NumericError as above.
  at::Tensor embed(std::span<const int32_t> ids, int64_t first = 0) const;

 private:
  Norm load_norm(const std::string& name, int64_t size, TensorHashes* hashes = nullptr) const;
  at::Tensor load(const std::string& name, at::IntArrayRef shape,
                  TensorHashes* hashes = nullptr) const;
  void read_row(const std::string& name, int64_t row, std::span<float> values) const;

  ModelConfig config_;
  TensorFolder tensors_;
  std::vector<std::string> notes_;
};

// UsageError names a part of `reading` that none of the models needs: it was mistyped, or is no
// longer true.
void check_is_needed(const ModelReading& reading, std::span<const SourceModel* const> models);
// The same, for a command that reads no tensors.
void check_is_needed(const ModelReading& reading, const ModelConfig& config);

}  // namespace bitmill
