#pragma once
// Coordinate descent on codes and signs before a block is trained (METHOD.md, "Coordinate
// descent"; the update is that of QuantEase, Behdin et al., 2023, on this method's grid).

#include <ATen/core/Tensor.h>

#include <span>

#include "base/thread_pool.hpp"
#include "method/grid.hpp"

namespace bitmill {

// Where the descent changed the sign of a weight, its latent begins at the new sign multiplied by
// this.
inline constexpr float first_latent_of_changed_sign = 0.02F;

// Lowers tr(E Sigma E^T), E = W - W^, each row by itself. A pass goes through the columns and
// chooses the best code or sign of each; after each pass alpha and mu are set in closed form. The
// grid, r1 = 1 and r2 = 1 do not change.
//
//   weight          float32 [rows, cols]  W
//   second_moments  [cols * cols]         Sigma, row-major: the mean of x_a x_b over the inputs of
//                                         the linear. It is damped here by 1% of its mean diagonal
//   linear          in and out            W^ as quantize_linear() made it. Its codes, row_mean,
//                                         row_scale, and signs or latents change
void descend(const at::Tensor& weight, std::span<const float> second_moments, InitialLinear& linear,
             ThreadPool& pool);

}  // namespace bitmill
