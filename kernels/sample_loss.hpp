#pragma once
// The loss of one sample and its gradient for the student's output (METHOD.md, "The loss"): both
// targets, error and cosine, in one pass over memory each.
//
// sample_loss() leaves the loss and three coefficients for each token; with those,
// sample_loss_gradient() is one more pass:
//
//   gradient_tj = k_t y_tj + a_t (y_tj - normal_tj) + b_t (y_tj - homologous_tj)
//
// The mean cosine of all tokens is in every coefficient, so one pass cannot make both.
//
// Numbers: sums over a token are in float32, in a fixed order; everything that follows is in
// float64 and rounded once to float32. The gradient is in float32 and rounded once to the element.
// Neither has the bits of method/loss.cpp: the loss is within 1e-5 of it (relative to the sum of
// its terms' magnitudes), the gradient within 1e-5 of the sample's largest, before it is rounded.
//
// Reference: method/loss.cpp, and the same in float64 in tests/kernels/sample_loss_checks.hpp.
// Tests: sample_loss_test.cpp in tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/element.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device; arrays begin at a multiple of 16 bytes.
struct SampleLoss {
  const void* student;     // student_element [tokens, hidden]   in
  const void* normal;      // target_element [tokens, hidden]    in; null where its weight is 0
  const void* homologous;  // target_element [tokens, hidden]    in; null where its weight is 0
  float* token_sums;       // [tokens, 8]                        scratch
  float* coefficients;     // [tokens, 4]: k, a, b, 0            out
  float* loss;             // [1]                                out
  int64_t tokens;          // at least 1
  int64_t hidden;          // at least 1
  float normal_weight;
  float homologous_weight;
  bool relative;  // the error is relative to each token's target
  Element student_element;
  Element target_element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(student);
    visit(normal);
    visit(homologous);
    visit(token_sums);
    visit(coefficients);
    visit(loss);
  }
};

// Queue kernels on `stream` and return the result of the launch; cudaErrorInvalidValue for a size
// below 1, or where a target is missing and its weight is not 0. A result may be not finite: the
// caller looks at it.
cudaError_t sample_loss(const SampleLoss& task, cudaStream_t stream);
// After sample_loss() of the same task. `gradient`: student_element [tokens, hidden], out.
cudaError_t sample_loss_gradient(const SampleLoss& task, void* gradient, cudaStream_t stream);

}  // namespace bitmill::kernels
