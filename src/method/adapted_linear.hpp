#pragma once
// A frozen weight with a low-rank adapter (Hu et al., "LoRA", ICLR 2022):
//   y = x W^T + scale dropout(x) A^T B^T,   A [rank, cols], B [rows, rank].
// W has no gradient.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/thread_pool.hpp"

namespace bitmill {

// The names of the two factors among what is learned of a linear (learned_linear.hpp).
namespace part {
inline constexpr std::string_view lora_a = "lora_a";  // [rank, cols]
inline constexpr std::string_view lora_b = "lora_b";  // [rows, rank]
}  // namespace part

// What is the same of an adapter in every pass.
struct Adapter {
  double scale = 1;     // alpha / rank
  double dropout = 0;   // share of the inputs of A that are left out in a pass: 0 <= p < 1
  uint32_t linear = 0;  // a number of the linear's own in the whole model, for its dropout
};

// Names the random numbers of a forward pass: the same draw leaves out the same inputs, so that a
// pass that is computed again is the same. Without a draw nothing is left out.
using Draw = std::optional<uint64_t>;

// The draw of a sequence of the training of `seed`.
uint64_t draw_of(uint64_t seed, int64_t sequence);

// Which inputs remain: 1 or 0, [tokens, cols] float32 on the host. A pure function of draw, number
// of the linear, place in the tensor and p; threads do not matter. The share that remains is 1 - p
// to 2^-32.
at::Tensor dropout_mask(uint64_t draw, uint32_t linear, double p, int64_t tokens, int64_t cols,
                        ThreadPool& pool);

// x [T, cols], weight [rows, cols], a and b float32 -> y [T, rows]. Differentiable in x, a and b;
// `pool` and `weight` must outlive the backward pass. On a CPU the products of a and b are float32
// whatever type the weight has; on a GPU they are in x's type, with gradients in float32. What
// remains after dropout is divided by 1 - p.
at::Tensor adapted_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& a,
                          const at::Tensor& b, const Adapter& adapter, const Draw& draw,
                          ThreadPool& pool);

}  // namespace bitmill
