#pragma once
// An AdamW step on a slice of the flat tensor of learned values (METHOD.md, "Training"), cut into
// pieces of one learning rate each.
//
// Numbers: method/adamw_element.hpp, compiled without contraction, with correctly rounded division
// and square root: the bits of AdamW::step in src/method.
//
// The window of learned signs (METHOD.md, "Learned signs") is applied here, to the sum over units,
// and not to each unit's gradient: what is outside of it is 0 either way, and a pass over memory as
// large as a weight is saved for every unit. The bits are the same.
//
// Reference: the plain loop of tests/kernels/adamw_checks.hpp. Tests: adamw_test.cpp in
// tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/launch.hpp"

namespace bitmill::kernels {

// Elements of a piece at most; more would leave fewer blocks than a GPU can run.
inline constexpr int64_t adamw_elements_per_piece = 4096;

// Elements of the slice with one rate. What is in no piece does not change.
struct AdamWPiece {
  int64_t begin;
  int32_t count;  // 1 .. adamw_elements_per_piece
  float window;   // the gradient is 0 where |value| is not below it; 0: no window
  double rate;    // learning rate, before the schedule
};

// All pointers point to memory of the device. No two pieces have an element in common.
struct AdamWSlice {
  const AdamWPiece* pieces;  // [piece_count]                            in
  const float* sum;          // sum of the gradients of `units` units    in
  float* first;              // moving average of the gradient           in and out
  float* second;             // moving average of its square             in and out
  float* value;              //                                          in and out
  int64_t piece_count;
  float units;
  float root_correction2;  // sqrt(1 - beta2^t)
  double factor;           // of the schedule, for all rates
  double correction1;      // 1 - beta1^t

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(pieces);
    visit(sum);
    visit(first);
    visit(second);
    visit(value);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for a
// negative count. Launches nothing without pieces.
cudaError_t adamw(const AdamWSlice& task, cudaStream_t stream);

}  // namespace bitmill::kernels
