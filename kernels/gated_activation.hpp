#pragma once
// The activation of a feed-forward part and its product with the second branch, in one pass each
// way:
//
//   out = f(gate) * up      d gate = d out * up * f'(gate)      d up = d out * f(gate)
//
// or out = f(gate) alone, where there is no second branch.
//
// Numbers: everything is computed in float32 and rounded once to the element. The device's exp, erf
// and tanh are not the CPU's: f is within 4e-7 of its exact value, relative to |gate|, f' within
// 1e-6.
//
// Reference: the formulas in float64 in tests/kernels/gated_activation_checks.hpp. Tests:
// gated_activation_test.cpp in tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/element.hpp"

namespace bitmill::kernels {

enum class Activation : int32_t {
  silu,       // x / (1 + exp(-x))
  relu,       // 0 below 0
  gelu,       // x Phi(x), with erf
  gelu_tanh,  // the same, with tanh
};

// All pointers point to memory of the device; arrays begin at a multiple of 16 bytes. An output may
// be an input, element by element.
struct GatedActivation {
  const void* gate;  // element [count]   in
  const void* up;    // element [count]   in; null: there is no second branch
  void* out;         // element [count]   out
  int64_t count;
  Activation activation;
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(gate);
    visit(up);
    visit(out);
  }
};

struct GatedActivationGradient {
  const void* gate;      // element [count]   in
  const void* up;        // element [count]   in; null: there is no second branch
  const void* gradient;  // element [count], d out   in
  void* of_gate;         // element [count]   out
  void* of_up;           // element [count]   out; null as `up` is
  int64_t count;
  Activation activation;
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(gate);
    visit(up);
    visit(gradient);
    visit(of_gate);
    visit(of_up);
  }
};

// Queue the kernel on `stream` and return the result of the launch; cudaErrorInvalidValue for a
// negative count, or where only one of up and of_up is given. They launch nothing without elements.
cudaError_t gated_activation(const GatedActivation& task, cudaStream_t stream);
cudaError_t gated_activation_gradient(const GatedActivationGradient& task, cudaStream_t stream);

}  // namespace bitmill::kernels
