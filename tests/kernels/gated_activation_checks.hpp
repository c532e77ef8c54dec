#pragma once
// gated_activation() and its gradient against the formulas in float64, on any kind of device.

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>

#include "kernels/element_array.hpp"
#include "kernels/gated_activation.hpp"

namespace bitmill {

struct ActivationCase {
  kernels::Element element;
  kernels::Activation activation;
  int64_t count;
  bool gated;
  std::vector<float> gate, up, gradient;
};

struct ActivationOut {
  std::vector<float> out, of_gate, of_up;
};

inline ActivationCase make_activation_case(kernels::Element element, kernels::Activation activation,
                                           int64_t count, bool gated = true) {
  ActivationCase made{element,
                      activation,
                      count,
                      gated,
                      exact_numbers(count, 1),
                      exact_numbers(count, 2),
                      exact_numbers(count, 3)};
  for (float& value : made.gate) value *= 3;
  made.gate = rounded_to(element, made.gate);
  return made;
}

inline double activation_value(kernels::Activation activation, double x) {
  using enum kernels::Activation;
  if (activation == silu) return x / (1 + std::exp(-x));
  if (activation == relu) return x > 0 ? x : 0;
  if (activation == gelu) return x * 0.5 * std::erfc(-x / std::numbers::sqrt2);
  const double inner = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  return 0.5 * x * (1 + std::tanh(inner));
}

// By differences; the slope of relu at 0 is 0.
inline double activation_slope(kernels::Activation activation, double x) {
  if (activation == kernels::Activation::relu) return x > 0 ? 1 : 0;
  const double step = 1e-5;
  return (activation_value(activation, x + step) - activation_value(activation, x - step)) /
         (2 * step);
}

template <template <typename> class Array>
ActivationOut activation_on_device(const ActivationCase& problem) {
  const ElementArray<Array> gate(problem.element, problem.gate), up(problem.element, problem.up),
      gradient(problem.element, problem.gradient), out(problem.element, problem.count),
      of_gate(problem.element, problem.count), of_up(problem.element, problem.count);
  const void* const second = problem.gated ? up.data() : nullptr;
  void* const of_second = problem.gated ? of_up.data() : nullptr;
  EXPECT_EQ(kernels::gated_activation({gate.data(), second, out.data(), problem.count,
                                       problem.activation, problem.element},
                                      nullptr),
            kernels::cudaSuccess);
  EXPECT_EQ(kernels::gated_activation_gradient(
                {gate.data(), second, gradient.data(), of_gate.data(), of_second, problem.count,
                 problem.activation, problem.element},
                nullptr),
            kernels::cudaSuccess);
  return {out.to_host(), of_gate.to_host(), of_up.to_host()};
}

template <template <typename> class Array>
void check_activation(const ActivationCase& problem) {
  std::vector<double> out, of_gate, of_up;
  for (int64_t i = 0; i < problem.count; ++i) {
    const double up = problem.gated ? problem.up[i] : 1, gradient = problem.gradient[i];
    const double value = activation_value(problem.activation, problem.gate[i]);
    out.push_back(value * up);
    of_gate.push_back(gradient * up * activation_slope(problem.activation, problem.gate[i]));
    of_up.push_back(gradient * value);
  }
  const std::string name = std::to_string(problem.count) + " elements, activation " +
                           std::to_string(static_cast<int>(problem.activation));
  const ActivationOut got = activation_on_device<Array>(problem);
  // Magnitudes are up to 27.
  const double tolerance = problem.element == kernels::Element::bfloat16 ? 27.0 / 256 : 3e-5;
  EXPECT_LE(largest_distance(got.out, out), tolerance) << name;
  EXPECT_LE(largest_distance(got.of_gate, of_gate), tolerance) << name;
  if (problem.gated) {
    EXPECT_LE(largest_distance(got.of_up, of_up), tolerance) << name;
  }
}

// Around the block (256 threads with two accesses of one or four elements).
template <template <typename> class Array>
void check_all_of_activation() {
  using enum kernels::Element;
  using enum kernels::Activation;
  for (const kernels::Element element : {float32, bfloat16}) {
    for (const kernels::Activation activation : {silu, relu, gelu, gelu_tanh}) {
      for (const int64_t count : {0, 1, 31, 36, 511, 513, 2044, 2052}) {
        check_activation<Array>(make_activation_case(element, activation, count));
      }
      check_activation<Array>(make_activation_case(element, activation, 100, false));
    }
  }
}

}  // namespace bitmill
