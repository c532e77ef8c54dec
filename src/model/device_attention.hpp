#pragma once
// Causal attention of one sample on a GPU (FAMILIES.md, "On a GPU"). One formulation, whatever the
// family, the type and the sizes. The query heads that read one key head are taken together, and of
// their positions one tile after the other; a tile sees the keys up to its last position:
//
//   P = softmax(Q K' / sqrt(head_dim)), causal        out = P V
//
// The backward pass computes P again, tile by tile:
//
//   dV += P' dO    dP = dO V'    dS = P (dP - sum over keys of P dP) / sqrt(head_dim)
//   dQ = dS K      dK += dS' Q
//
// Scores and dP are written by a product, and become P and dS in their place by one kernel each way
// (kernels/causal_softmax.hpp).
//
// Numbers: products add up in float32; scores, softmax and dS are float32; P and dS are rounded to
// the element as operands of the next product, and each result once. dK and dV add up in float32:
// over query heads inside of a product, over tiles in their order. No atomics, and no algorithm
// that depends on what else runs: the same bits at every call on one kind of device.

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace bitmill {

// Rows of scores that exist at a time: positions of a tile times query heads of a key head.
inline constexpr int64_t attention_tile_rows = 4096;

// Positions of a tile, where `group` query heads read one key head: as many as make
// attention_tile_rows, a multiple of 16 where it can be, and at most seq_len.
int64_t attention_tile_positions(int64_t seq_len, int64_t group);

struct AttentionShape {
  int64_t seq_len, heads, kv_heads, head_dim;
  int64_t element_bytes;  // 4 or 2
};
// The most that a call or its backward pass holds at a time beside arguments and results. With the
// rows of a tile: 8 rows T (two float32 matrices of scores, T as a multiple of 4), 3 element rows
// head_dim, and 8 T head_dim. It counts tensors as they are asked for; the allocator rounds each up
// to 512 bytes. Copies that product.hpp makes of rows at odd places are not in it: there are none
// where head_dim is a multiple of 8 (of 4 with float32).
int64_t attention_scratch_bytes(const AttentionShape& shape);

// As causal_attention(), which calls it. All three: float32 or bfloat16, one type.
at::Tensor device_attention(const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value);

}  // namespace bitmill
