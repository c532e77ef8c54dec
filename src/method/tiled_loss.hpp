#pragma once
// A loss over the positions of a sample: in tiles, because logits are as wide as the vocabulary.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "base/thread_pool.hpp"

namespace bitmill {

// How a loss is computed. Tensors are where the sample is.
struct TiledLoss {
  // The input of the head, [positions, embedding], from the last block's output [T, hidden];
  // differentiable.
  std::function<at::Tensor(const at::Tensor& output)> head_input;
  // The loss of each position of a tile, [count] float32, which begins at position `first`. `in`:
  // of the head, [count, embedding]. When `gradient` is given, fills it with that of `in`. Without
  // autograd; safe from several threads on a CPU.
  std::function<at::Tensor(const at::Tensor& in, int64_t first, at::Tensor* gradient)> of_tile;
};

// The mean over all positions, summed up within each tile and then over the tiles. When `gradient`
// is given, it becomes d mean / d output [T, hidden], where of_tile() divides by the positions of
// the sample. Tiles of tokens_per_tile: side by side on a CPU, one after the other on a GPU, where
// it waits once.
double mean_over_tiles(const TiledLoss& loss, const at::Tensor& output, ThreadPool& pool,
                       at::Tensor* gradient);

// gradient [count, embedding] = of_logits [count, vocabulary] x head [vocabulary, embedding].
void fill_head_gradient(const at::Tensor& of_logits, const at::Tensor& head, at::Tensor& gradient);

}  // namespace bitmill
