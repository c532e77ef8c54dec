#pragma once
// AdamW on one element. All loops over elements use this function, those of kernels/adamw.cu too,
// so that they have the same arithmetic.

#include <cmath>

namespace bitmill {

// The numbers that are the same for all elements of a segment in one step.
struct AdamWStep {
  static constexpr float beta1 = 0.9F;
  static constexpr float beta2 = 0.999F;
  static constexpr float epsilon = 1e-8F;

  float units = 1;             // how many units' gradients were summed
  float rate = 0;              // rate / (1 - beta1^t)
  float root_correction2 = 1;  // sqrt(1 - beta2^t)
};

// `sum` / units is the gradient; first and second are its moments. Compiled without contraction.
// constexpr: nvcc compiles it for a GPU too.
constexpr void adamw_element(const AdamWStep& step, float sum, float& first, float& second,
                             float& value) {
  const float gradient = sum / step.units;
  first = AdamWStep::beta1 * first + (1.0F - AdamWStep::beta1) * gradient;
  second = AdamWStep::beta2 * second + (1.0F - AdamWStep::beta2) * gradient * gradient;
  value -= step.rate * first / (std::sqrt(second) / step.root_correction2 + AdamWStep::epsilon);
}

}  // namespace bitmill
