#pragma once
// The rms norm of each token, and its gradient for x, in one pass over memory each, or nearly. The
// norm's weight is not learned, so it gets none.
//
//   y = x n w       n = 1 / sqrt(mean of x^2 + epsilon)
//   dx = n (a - x n^2 (mean of a x)),  a = dy w
//
// Numbers: float32; y = (x n) w, rounded once to its element. The mean is added in another order
// than the CPU's: n is within hidden * 2^-24 of it, relatively.
//
// Reference: normalize() in src/model/norm.cpp, and the formulas in float64 in
// tests/kernels/rms_norm_checks.hpp. Tests: rms_norm_test.cpp in tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/element.hpp"

namespace bitmill::kernels {

// Columns that a block keeps in shared memory, as float32: 96 KB, what every GPU from sm_80 on has.
// What a row has beyond them is read twice: x by rms_norm(), x and dy by rms_norm_gradient(), which
// keeps half as many.
inline constexpr int64_t kept_rms_norm = 24576;

// All pointers point to memory of the device; arrays begin at a multiple of 16 bytes.
struct RmsNorm {
  const void* x;        // x_element [tokens, hidden]   in
  const float* weight;  // [hidden]                     in; null: ones
  void* y;              // y_element [tokens, hidden]   out
  float* inverse_rms;   // [tokens], n                  out
  int64_t tokens;
  int64_t hidden;
  float epsilon;
  Element x_element;
  Element y_element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(x);
    visit(weight);
    visit(y);
    visit(inverse_rms);
  }
};

struct RmsNormGradient {
  const void* x;             // x_element [tokens, hidden]       in
  const float* weight;       // [hidden]                         in; null: ones
  const float* inverse_rms;  // [tokens], of rms_norm()          in
  const void* gradient;      // y_element [tokens, hidden], dy   in
  void* of_x;                // x_element [tokens, hidden]       out
  int64_t tokens;
  int64_t hidden;
  Element x_element;
  Element y_element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(x);
    visit(weight);
    visit(inverse_rms);
    visit(gradient);
    visit(of_x);
  }
};

// Queue the kernel on `stream` and return the result of the launch; cudaErrorInvalidValue for a
// negative size. They launch nothing without elements.
cudaError_t rms_norm(const RmsNorm& task, cudaStream_t stream);
cudaError_t rms_norm_gradient(const RmsNormGradient& task, cudaStream_t stream);

}  // namespace bitmill::kernels
