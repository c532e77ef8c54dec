#pragma once
// How well a model predicts a text: the cross-entropy of its next-token distributions, in nats, the
// mean over the tokens of a sequence that have one before them. Also its gradient for the last
// block's output.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "base/thread_pool.hpp"
#include "device/device.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Holds the model's head, which does not change. A thread that works on a sequence holds the logits
// of tokens_per_tile of its positions at a time (base/pieces.hpp), twice.
class NextTokenLoss {
 public:
  // With the head on this device, for outputs that are there. The model and the threads of the
  // device outlive it.
  NextTokenLoss(const SourceModel& model, const Device& device);
  // With a head that is given. The config and the pool outlive it.
  NextTokenLoss(const ModelConfig& config, HeadWeights head, ThreadPool& pool);

  // The loss of one sequence, from the output [T, hidden] of the last block for its `tokens`, 2 to
  // T of them: later positions are padding and count for nothing. It may be not finite: the caller
  // checks. When `gradient` is given, it becomes d result / d output [T, hidden]. Safe from several
  // threads on a CPU. On a GPU the tiles follow one another, and it waits once.
  double operator()(const at::Tensor& output, std::span<const int32_t> tokens,
                    at::Tensor* gradient = nullptr) const;

 private:
  // The loss of every position of a tile: [positions] float32. `next` [positions] int64: the tokens
  // to be predicted. When `gradient` is given, fills it with the gradient of the head's input,
  // [positions, embedding]; `all_positions` is that of the sequence.
  at::Tensor of_tile(const at::Tensor& in, const at::Tensor& next, int64_t all_positions,
                     at::Tensor* gradient) const;

  const ModelConfig& config_;
  const HeadWeights head_;
  ThreadPool& pool_;
};

}  // namespace bitmill
