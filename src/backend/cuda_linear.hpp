#pragma once
// What the cuda backend holds of a linear on its device (kernels/STEP.md): the operands of its
// products, and the steps of a pass that come before and after them.

#include <ATen/core/Tensor.h>

#include "backend/backend.hpp"
#include "backend/learned_parts.hpp"
#include "kernels/columns.hpp"
#include "kernels/operands.hpp"

namespace bitmill {

// Sizes as in FrozenLinear. `element` is the type of activations and operands.
class CudaLinearParts {
 public:
  // Copies what it needs of `linear`, which is on this device or on the host.
  CudaLinearParts(const FrozenLinear& linear, const LearnedNames& learned, at::Device device,
                  at::ScalarType element);

  // Writes the signs of latents, and r1 alpha, r1 mu as they are now. s is an argument of
  // forward().
  void take(const LearnedLinear& learned);

  int64_t rows = 0, cols = 0, low = 0, salient = 0;
  LearnedParts parts;
  at::ScalarType element;
  at::Tensor signs;  // element [rows, low rounded up], +1 and -1; padding 0
  at::Tensor codes;  // element [rows, salient rounded up], q - z; padding 0
  // float32 [rows]; those that are learned are not used.
  at::Tensor frozen_row_mean, frozen_code_scale;
  // float32 [rows], of the last take(): r1 alpha, r1 mu.
  at::Tensor row_factor, mean_factor;

  kernels::ColumnSplit split() const;
  kernels::Element kernel_element() const;
  // Memory for what a pass computes.
  at::Tensor fresh(int64_t tokens, int64_t columns) const;       // element
  at::Tensor fresh_floats(int64_t first, int64_t second) const;  // float32 [first, second]

 private:
  void make_operands(const FrozenLinear& linear);
  // `from` has latents or words; the rest is filled in here.
  void write_signs(kernels::SignsOperand from);

  at::Tensor mask_, low_before_;  // int32 [words_for(cols, 32)]
};

// x^, x_salient and the sums of x^ (kernels/gather.hpp).
struct GatheredInput {
  at::Tensor low;      // element [T, low rounded up]
  at::Tensor salient;  // element [T, salient rounded up]; undefined: not wanted
  at::Tensor low_sum;  // float32 [T]; undefined: not wanted
};
GatheredInput gather_input(const CudaLinearParts& linear, const at::Tensor& x,
                           const at::Tensor& col_gain);
// x^ alone.
at::Tensor gather_low(const CudaLinearParts& linear, const at::Tensor& x,
                      const at::Tensor& col_gain);

// The rows of a float32 table [tiles, columns], added in order: [columns].
at::Tensor sum_of_rows(const at::Tensor& table);

}  // namespace bitmill
