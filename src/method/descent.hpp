#pragma once
// Coordinate descent on codes and signs before a block is trained (METHOD.md, "Coordinate
// descent"; the update is that of QuantEase, Behdin et al., 2023, on this method's grid).

#include <ATen/core/Tensor.h>

#include <span>

#include "base/thread_pool.hpp"
#include "method/grid.hpp"

namespace bitmill {

// A latent of a weight whose sign the descent changed begins at this times the new sign.
inline constexpr float first_latent_of_changed_sign = 0.02F;

// Lowers tr(E Sigma E^T), E = W - W^, row by row: over each code and sign in turn, column by
// column, and after each pass over alpha and mu in closed form. The grid, r1 = 1 and r2 = 1 stay.
//
//   weight          float32 [rows, cols]  W
//   second_moments  [cols * cols]         Sigma, row by row: mean of x_a x_b over the linear's
//   inputs;
//                                         damped here by 1% of its mean diagonal
//   linear                                W^ as quantize_linear() made it: codes, row_mean,
//                                         row_scale, and signs or latents change
void descend(const at::Tensor& weight, std::span<const float> second_moments, InitialLinear& linear,
             ThreadPool& pool);

}  // namespace bitmill
