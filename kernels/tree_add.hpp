#pragma once
// Adds up to eight vectors as neighbours in the fixed tree over the positions of a batch
// (src/schedule/reduction_tree.hpp): ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). An absent right
// child adds nothing. Sums as large as a weight are read once instead of once per addition.
//
// Numbers: float32 additions: the bits of the tree's additions one by one on the CPU.
//
// Reference: the plain loop of tests/kernels/tree_add_checks.hpp. Tests: tree_add_test.cpp in
// tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/launch.hpp"

namespace bitmill::kernels {

inline constexpr int most_tree_children = 8;

// All pointers point to memory of the device.
struct TreeAdd {
  const float* from[most_tree_children];  // [size] each; those behind `count` are not looked at
  float* into;                            // [size]   out; may be from[0]
  int32_t count;                          // 2 .. most_tree_children
  int64_t size;

  template <typename Visit>
  void each_pointer(Visit visit) {
    for (const float*& one : from) visit(one);
    visit(into);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for a
// count or size that is not as above. Launches nothing for empty vectors.
cudaError_t tree_add(const TreeAdd& task, cudaStream_t stream);

}  // namespace bitmill::kernels
