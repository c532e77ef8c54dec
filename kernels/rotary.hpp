#pragma once
// Rotary positions: every pair (a, b) of a head, columns i and i + head_dim / 2, is turned by the
// angle of its token.
//
//   a' = a cos - b sin      b' = b cos + a sin      backward: the same with -sin
//
// Numbers: float32, each result rounded once to the element. In float32 these are the bits of
// rotate() in src/model/rotary.cpp.
//
// Reference: a plain loop in tests/kernels/rotary_checks.hpp. Tests: rotary_test.cpp in
// tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/element.hpp"

namespace bitmill::kernels {

// The angles of a token are to fit 32 KB of shared memory.
inline constexpr int64_t largest_rotary_head = 8192;
inline constexpr int64_t most_rotary_heads = 65536;

// All pointers point to memory of the device; arrays begin at a multiple of 16 bytes. Of cosine and
// sine the first head_dim / 2 columns are read; the others are those again.
struct Rotate {
  const void* x;        // element [tokens, heads, head_dim]   in
  const float* cosine;  // [tokens, head_dim]                  in
  const float* sine;    // [tokens, head_dim]                  in
  void* y;              // element [tokens, heads, head_dim]   out; may be x
  int64_t tokens;
  int64_t heads;     // at most most_rotary_heads
  int64_t head_dim;  // even, at most largest_rotary_head
  bool back;         // -sin
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(x);
    visit(cosine);
    visit(sine);
    visit(y);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for
// sizes that are not as above. Launches nothing without elements.
cudaError_t rotate(const Rotate& task, cudaStream_t stream);

}  // namespace bitmill::kernels
