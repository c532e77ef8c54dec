#pragma once
// Rotary positions: the tables of a sequence, and their application to heads.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/config.hpp"

namespace bitmill {

// Tables of positions 0 .. T-1: [T, head_dim] float32, both halves equal. Undefined for a family
// whose positions are not rotary.
struct Rotary {
  at::Tensor cosine;
  at::Tensor sine;
};
Rotary make_rotary(const ModelConfig& config, int64_t seq_len);
// The rows [first, first + count), in the same memory.
Rotary rows_of(const Rotary& all, int64_t first, int64_t count);

// x [T, heads, head_dim], rotated by each token's position; x itself when there are no tables.
at::Tensor rotate(const at::Tensor& x, const Rotary& rotary);

}  // namespace bitmill
