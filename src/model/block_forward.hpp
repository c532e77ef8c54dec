#pragma once
// One decoder block, for one sample [T, hidden] at positions 0 .. T-1:
//   h = x + o(attention(q, k, v of norm(x)));  y = h + down(act(gate) * up of norm(h)).
// The family and the config say which of these parts there are. Differentiable where grad mode is
// on and x or a linear's learned values require it.
//
// Products (base/pieces.hpp) and attention (by heads) are cut into pieces, which are spread over
// `pool`. The cut depends on shapes only.
//
// For tensors on a GPU nothing is cut, and no thread of `pool` takes part. x and matrices are
// float32 or bfloat16, one type for all; vectors and tables are float32 (device_weights.hpp). A
// result has x's type; FAMILIES.md, "On a GPU", says where it is rounded.

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/thread_pool.hpp"
#include "model/config.hpp"
#include "model/rotary.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// The output [T, rows] of block_linears()[linear], without its bias, for input [T, cols]. On a GPU
// it is a tensor of its own, which no backward pass needs: the bias is added in place.
using LinearFunction = std::function<at::Tensor(size_t linear, const at::Tensor&)>;

at::Tensor block_forward(const ModelConfig& config, const BlockVectors& vectors,
                         const Rotary& rotary, const at::Tensor& x, const LinearFunction& linear,
                         ThreadPool& pool);

// Attention of query [T, heads, head_dim] over key and value [T, kv_heads, head_dim], which are
// rotated where the family does so: [T, heads, head_dim].
using AttentionFunction = std::function<at::Tensor(const at::Tensor& query, const at::Tensor& key,
                                                   const at::Tensor& value)>;

// The activation of every element of x [T, n].
using ActivationFunction = at::Tensor (*)(Activation activation, const at::Tensor& x);

// libtorch's; on a GPU a kernel of ours. The last elements of a tensor, those beyond a multiple of
// 32, are computed by other code than the rest: the last bits of a token's numbers may depend on T.
at::Tensor activate(Activation activation, const at::Tensor& x);
// The same, but a token's numbers never depend on T.
at::Tensor activate_by_token(Activation activation, const at::Tensor& x);

// block_forward() for tokens that follow others: row t of `rotary` is the position of token t, and
// `attention` knows the keys and values of what came before.
at::Tensor block_forward(const ModelConfig& config, const BlockVectors& vectors,
                         const Rotary& rotary, const at::Tensor& x, const LinearFunction& linear,
                         const AttentionFunction& attention,
                         ActivationFunction activation = activate);

// x [T, cols], weight [rows, cols] -> x weight^T [T, rows]. Differentiable in x alone; `pool` and
// weight must outlive the backward pass.
at::Tensor dense_linear(const at::Tensor& x, const at::Tensor& weight, ThreadPool& pool);

// Is called with the input [T, cols] of each of block_linears() before the linear uses it.
using InputProbe = std::function<void(size_t linear, const at::Tensor&)>;

// block_forward with dense weights; no gradient. `probe` may be empty.
at::Tensor dense_block_forward(const ModelConfig& config, const BlockWeights& weights,
                               const Rotary& rotary, const at::Tensor& x, ThreadPool& pool,
                               const InputProbe& probe = {});

// The input [T, embedding] of the head's matrix: the last block's output x [T, hidden] after the
// final norm and, where there is one, the projection. Differentiable in x.
at::Tensor head_input(const ModelConfig& config, const HeadWeights& weights, const at::Tensor& x,
                      ThreadPool& pool);

// Next-token logits [T, vocab] float32 of head_input(); no gradient. The product is cut along the
// vocabulary.
at::Tensor vocab_logits(const HeadWeights& weights, const at::Tensor& in, ThreadPool& pool);

// vocab_logits() of head_input(), from the last block's output [T, hidden]; no gradient.
at::Tensor head_logits(const ModelConfig& config, const HeadWeights& weights, const at::Tensor& x,
                       ThreadPool& pool);

}  // namespace bitmill
