#pragma once
// The loops of the cpu backend around its matrix products, on one tile of tokens. All arrays are
// row-major float32; an output is written completely. Each loop runs along memory, and each sum has
// one fixed order, so results do not depend on the caller's threads.

#include <cstdint>

namespace bitmill::cpu_loops {

// x^ = r2 * x_low, its sum per token, and x_salient.
struct GatherInput {
  const float* x;                  // [tokens, cols]
  const int64_t* low_columns;      // [low]
  const int64_t* salient_columns;  // [salient]
  const float* col_gain;           // [low]
  int64_t tokens, cols, low, salient;
};
struct GatherOutput {
  float* low;      // [tokens, low_stride]; columns from `low` on become 0
  float* low_sum;  // [tokens]
  float* salient;  // [tokens, salient_stride]; columns from `salient` on become 0
  int64_t low_stride, salient_stride;
};
void gather(const GatherInput& in, const GatherOutput& out);
// x^ alone: [tokens, stride]; columns from `low` on become 0.
void gather_low(const GatherInput& in, int64_t stride, float* low);

// y = row_factor * u + mean_factor * v + w, with row_factor = r1 alpha and mean_factor = r1 mu. On
// entry `y` holds w, the product of the 4-bit columns.
struct CombineInput {
  const float* low_product;  // u [tokens, rows]
  const float* low_sum;      // v [tokens]
  const float* row_factor;   // [rows]
  const float* mean_factor;  // [rows]
  int64_t tokens, rows;
};
void combine(const CombineInput& in, float* y);

// From the gradient g of y [tokens, rows]: what the backward product of the signs needs, and sums
// over the tile's tokens.
//   low_gradient_ti = row_factor_i g_ti        mean_gradient_t = sum_i mean_factor_i g_ti
//   scale_sum_i = sum_t g_ti u_ti              mean_sum_i = sum_t g_ti v_t
struct SplitOutput {
  float* low_gradient;   // [tokens, rows]
  float* mean_gradient;  // [tokens]
  float* scale_sum;      // [rows]
  float* mean_sum;       // [rows]
};
void split_gradient(const CombineInput& in, const float* gradient, const SplitOutput& out);

// From the gradient of x^, d = low_gradient S + mean_gradient (the same for all columns of a
// token): sums up
//   col_gain_sum_j = sum_t x_tj d_tj,
// and writes x_gradient: r2 * d at low columns, salient_product at salient columns. x_gradient may
// be null.
struct ScatterInput {
  const float* low_product;      // [tokens, low_stride]
  const float* mean_gradient;    // [tokens]
  const float* salient_product;  // [tokens, salient_stride]; unused when x_gradient is null
  int64_t low_stride, salient_stride;
};
void scatter(const GatherInput& input, const ScatterInput& in, float* col_gain_sum,
             float* x_gradient);

// out_ti = values_ti * factor_i; all [tokens, rows]. `out` may be `values`.
void scale_rows(const float* values, const float* factor, int64_t tokens, int64_t rows, float* out);

// sum_i = sum_t a_ti b_ti.
void dot_over_tokens(const float* a, const float* b, int64_t tokens, int64_t rows, float* sum);

// +1 where a latent is 0 or more, else -1: signs [rows, stride], latents [rows, low]; columns from
// `low` on become 0.
void take_signs(const float* latents, int64_t rows, int64_t low, int64_t stride, float* signs);

// A gradient becomes 0 where the magnitude of its latent reaches straight_through_window.
void clip_to_window(const float* latents, int64_t count, float* gradient);

}  // namespace bitmill::cpu_loops
