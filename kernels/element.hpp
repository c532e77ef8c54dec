#pragma once
// The type of activations, of operands of products and of their results. It is one for all arrays
// of a kernel that may be either; sums, factors and what is learned are float32 always.

#include <cstdint>

#include "kernels/launch.hpp"

namespace bitmill::kernels {

enum class Element : int32_t {
  float32,   // --dtype float32
  bfloat16,  // --dtype bfloat16; rounded to nearest, ties to even
};

constexpr int64_t bytes_of(Element element) { return element == Element::float32 ? 4 : 2; }

// Rows of an operand of a product begin at a multiple of this many elements, and so at a sector of
// memory (32 bytes) whichever the type.
inline constexpr int64_t operand_step = 16;

}  // namespace bitmill::kernels
