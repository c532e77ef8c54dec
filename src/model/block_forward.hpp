#pragma once
// One decoder block: h = x + o(attention(q, k, v of norm(x))); y = h + down(act(gate) * up of
// norm(h)), for one sample [T, hidden] at positions 0 .. T-1; the family and config say which of
// the pieces there are. Differentiable where grad mode is on and x or a linear's learned values
// require it.
//
// Products (base/pieces.hpp) and attention (heads) are cut into pieces that depend on shapes only
// and are spread over `pool`.

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/thread_pool.hpp"
#include "model/config.hpp"
#include "model/rotary.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// The output [T, rows] of block_linears()[linear], without its bias, for input [T, cols].
using LinearFunction = std::function<at::Tensor(size_t linear, const at::Tensor&)>;

at::Tensor block_forward(const ModelConfig& config, const BlockVectors& vectors,
                         const Rotary& rotary, const at::Tensor& x, const LinearFunction& linear,
                         ThreadPool& pool);

// x [T, cols], weight [rows, cols] -> x weight^T [T, rows]. Differentiable in x alone; `pool` and
// weight must outlive the backward pass.
at::Tensor dense_linear(const at::Tensor& x, const at::Tensor& weight, ThreadPool& pool);

// Sees the input [T, cols] of each of block_linears() before it is used.
using InputProbe = std::function<void(size_t linear, const at::Tensor&)>;

// block_forward with dense weights; no gradient. `probe` may be empty.
at::Tensor dense_block_forward(const ModelConfig& config, const BlockWeights& weights,
                               const Rotary& rotary, const at::Tensor& x, ThreadPool& pool,
                               const InputProbe& probe = {});

// What the head multiplies: the last block's output [T, hidden] through the final norm and, where
// there is one, the projection; [T, embedding]. Differentiable in x.
at::Tensor head_input(const ModelConfig& config, const HeadWeights& weights, const at::Tensor& x,
                      ThreadPool& pool);

// Next-token logits [T, vocab] float32 of head_input(); no gradient. The product is cut along the
// vocabulary.
at::Tensor vocab_logits(const HeadWeights& weights, const at::Tensor& in, ThreadPool& pool);

// Both, from the last block's output [T, hidden]; no gradient.
at::Tensor head_logits(const ModelConfig& config, const HeadWeights& weights, const at::Tensor& x,
                       ThreadPool& pool);

}  // namespace bitmill
