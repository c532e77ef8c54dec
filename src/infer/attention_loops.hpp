#pragma once
// Attention of one token over what a cache holds, in plain loops. Sums have one fixed order, in
// lanes whose number does not depend on the processor; no operation is contracted. So the result
// is the same on every machine, and the compiler may still use vectors.

#include <cstdint>

namespace bitmill::attention_loops {

struct Attend {
  const float* query;   // [heads, head_dim], of the heads that share one key head
  const float* keys;    // [slots, head_dim]
  const float* values;  // [slots, head_dim]
  int64_t heads, head_dim, slots;
  // Positions [first, first + count) are seen; position p lies in slot p mod slots. count >= 1.
  int64_t first, count;
  float scale;
};

// out [heads, head_dim] = softmax(scale * query keys^T) values
void attend(const Attend& in, float* out);

}  // namespace bitmill::attention_loops
