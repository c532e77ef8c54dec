#pragma once
// Causal attention of one sample, one head at a time: the part of a block that is neither a linear
// nor element-wise.

#include <ATen/core/Tensor.h>

#include "base/thread_pool.hpp"

namespace bitmill {

// query [T, heads, head_dim], key and value [T, kv_heads, head_dim], float32; kv_heads divides
// heads, and query head h reads key head h / (heads / kv_heads). Returns [T, heads, head_dim].
// Scores are scaled by 1 / sqrt(head_dim). Differentiable in all three. Heads are spread over
// `pool`, which must outlive the backward pass.
//
// On a GPU: all three float32 or bfloat16, and no thread of `pool` takes part
// (device_attention.hpp).
at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            ThreadPool& pool);

}  // namespace bitmill
