#pragma once
// The gradient g of a linear's output, split for its two products back to the input, and summed
// over tokens for what is learned of each row (METHOD.md, "The factored form"):
//
//   low_gradient_ti = row_factor_i g_ti        mean_gradient_t = sum over i of mean_factor_i g_ti
//   salient_gradient_ti = code_scale_i g_ti    code_scale_sum_i = sum over t of g_ti w_ti
//   scale_sum_i = sum over t of g_ti u_ti      mean_sum_i = sum over t of g_ti v_t
//
// Sums are tables, a row for each tile of tokens (of rows for mean_gradient): add_table.hpp adds
// the rows up.
//
// Numbers: everything is computed in float32, from g, u and w as they are stored. The two gradients
// are one product each, rounded once to the element: in float32 the bits of cpu_loops. So is a row
// of a table over tokens: terms are added in their order. The sums over rows are added in another
// fixed order: within rows * 2^-24 of the sum of magnitudes.
//
// Reference: src/backend/cpu_loops. Tests: split_gradient_test.cpp in tests/kernels and tests/gpu.

#include <cstdint>

#include "kernels/add_table.hpp"
#include "kernels/element.hpp"

namespace bitmill::kernels {

// The columns of the table mean_gradient come from this many rows of the weight each; where rows is
// not a multiple of 4, from a quarter.
inline constexpr int64_t rows_per_tile = 512;
constexpr int64_t row_tiles(int64_t rows) {
  return packed::words_for(rows, rows % 4 == 0 ? rows_per_tile : rows_per_tile / 4);
}

// All pointers point to memory of the device; arrays begin at a multiple of 16 bytes.
struct SplitGradient {
  const void* gradient;         // element [tokens, rows], g                     in
  const void* low_product;      // element [tokens, rows], u                     in
  const void* salient_product;  // element [tokens, rows], w     in; read for code_scale_sum alone
  const float* low_sum;         // [tokens], v                                   in
  const float* row_factor;      // [rows], r1 alpha                              in
  const float* mean_factor;     // [rows], r1 mu                                 in
  const float* code_scale;      // [rows], s                 in; read for salient_gradient alone
  void* low_gradient;           // element [tokens, rows]                        out
  void* salient_gradient;       // element [tokens, rows]                        out; may be null
  float* mean_gradient;         // [row_tiles(rows), tokens]                     out
  float* scale_sum;             // [token_tiles(tokens), rows]                   out
  float* mean_sum;              // [token_tiles(tokens), rows]                   out
  float* code_scale_sum;        // [token_tiles(tokens), rows]                   out; may be null
  int64_t tokens;
  int64_t rows;
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(gradient);
    visit(low_product);
    visit(salient_product);
    visit(low_sum);
    visit(row_factor);
    visit(mean_factor);
    visit(code_scale);
    visit(low_gradient);
    visit(salient_gradient);
    visit(mean_gradient);
    visit(scale_sum);
    visit(mean_sum);
    visit(code_scale_sum);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for a
// negative size. Launches nothing for an empty gradient.
cudaError_t split_gradient(const SplitGradient& task, cudaStream_t stream);

}  // namespace bitmill::kernels
