#pragma once
// Attention's passes over its scores: softmax of causal rows, and the gradient of the scores. Both
// work in place, on matrices of scores that products have written in float32 and that the next
// products read as operands.
//
//   P = softmax over the keys that are seen of (scale S)      dS = scale P (dP - sum of P dP)
//
// Row r belongs to position first + r / group: `group` query heads read one key head, position by
// position. It sees the keys 0 .. first + r / group; P and dS are 0 at all others, and what S and
// dP hold there is not read. dS is the gradient of S, so no factor is left for products with it.
//
// Numbers: float32; P and dS are rounded once to the element. Sums over a row are added by 128
// threads, each its keys in order, then pair by pair: the same bits at every call. A row whose
// scores have a NaN or +inf, or of which one thread sees -inf alone, becomes NaN.
//
// Reference: the formulas in float64 in tests/kernels/causal_softmax_checks.hpp. Tests:
// causal_softmax_test.cpp in tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/element.hpp"

namespace bitmill::kernels {

// Scores of a row that a block keeps in shared memory (32 KB). What a row has beyond them is read
// twice: S by causal_softmax(), S and dP by causal_softmax_gradient(), which keeps half as many.
inline constexpr int64_t kept_scores = 8192;

// Rows of float32, each with room for row_floats of them. An element matrix that takes the place of
// one has its row in the beginning of that room, so its rows are row_floats * 4 / bytes_of(element)
// elements apart. What is behind the last key is overwritten up to a multiple of 4 elements.
struct ScoreRows {
  int64_t rows, keys;
  int64_t row_floats;  // at least keys, a multiple of 4
  int64_t group;       // rows of a position, at least 1
  int64_t first;       // position of row 0
};

// All pointers point to memory of the device; arrays begin at a multiple of 16 bytes.
struct CausalSoftmax {
  float* scores;  // [rows, keys]   in: S   out: P, elements
  ScoreRows shape;
  float scale;
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(scores);
  }
};

struct CausalSoftmaxGradient {
  float* scores;    // [rows, keys]   in: S    out: P, elements
  float* gradient;  // [rows, keys]   in: dP   out: dS, elements
  ScoreRows shape;
  float scale;
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(scores);
    visit(gradient);
  }
};

// Queue the kernel on `stream` and return the result of the launch; cudaErrorInvalidValue for a
// shape that is not as above. They launch nothing without elements.
cudaError_t causal_softmax(const CausalSoftmax& task, cudaStream_t stream);
cudaError_t causal_softmax_gradient(const CausalSoftmaxGradient& task, cudaStream_t stream);

}  // namespace bitmill::kernels
