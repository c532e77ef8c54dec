#pragma once
// What the passes of one sample through a block hold on a GPU: the part of device_memory.hpp that
// follows the code of the passes.

#include <cstdint>
#include <span>
#include <vector>

#include "method/settings.hpp"
#include "model/config.hpp"
#include "model/family.hpp"

namespace bitmill {

// Bytes as the caching allocator counts a tensor of `bytes`.
int64_t device_tensor_bytes(int64_t bytes);

struct LinearSize {
  int64_t rows = 0, cols = 0;
  int64_t low = 0, salient = 0;                // columns
  int64_t low_stride = 0, salient_stride = 0;  // of the operands
};

// Sizes in bytes of what one sample's passes make.
class BlockSizes {
 public:
  // `config` and `method` outlive this object. `tokens` of a sample; `element`: 2 or 4 bytes.
  BlockSizes(const ModelConfig& config, std::span<const LinearShape> linears,
             const MethodSettings& method, int64_t tokens, int64_t element);

  const ModelConfig& config() const { return config_; }
  const MethodSettings& method() const { return method_; }
  std::span<const LinearSize> linears() const { return linears_; }
  const LinearSize& linear(LinearRole role) const {
    return linears_[static_cast<size_t>(config_.family->position(role))];
  }
  int64_t tokens() const { return tokens_; }
  int64_t element() const { return element_; }
  // [T, columns] of elements; of float32.
  int64_t wide(int64_t columns) const { return tokens_ * columns * element_; }
  int64_t floats(int64_t columns) const;
  int64_t stream() const { return wide(config_.hidden_size); }
  int64_t attention() const;  // attention_scratch_bytes()
  bool rotates() const { return config_.family->positions == Positions::rotary; }

 private:
  const ModelConfig& config_;
  const MethodSettings& method_;
  const int64_t tokens_, element_;
  std::vector<LinearSize> linears_;
};

// The most that dense_block_forward() holds beside its input, with the inputs' statistics of the
// first turn.
int64_t most_of_forward(const BlockSizes& sizes);
// The most that StudentBlock::unit_gradient() holds beside the three tensors of its sample.
int64_t most_of_gradient(const BlockSizes& sizes);

}  // namespace bitmill
