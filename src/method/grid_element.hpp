#pragma once
// The 4-bit grid of one row (METHOD.md, "The 4-bit grid"). All loops over weights use these
// functions, those of kernels/row_values.cu too, so that they have the same arithmetic. Compiled
// without contraction. constexpr: nvcc compiles them for a GPU too.

#include <algorithm>
#include <cmath>

namespace bitmill {

inline constexpr float largest_grid_code = 15.0F;

// W ~ scale * (code - zero).
struct CodeGrid {
  float scale = 0;
  float zero = 0;  // a whole number 0 .. 15
};

// The grid of the range [least, greatest], which is widened so that it holds 0. When both are 0 the
// range is [-1, 1]. Rounding is half to even.
constexpr CodeGrid make_code_grid(float least, float greatest) {
  float low = std::min(0.0F, least), high = std::max(0.0F, greatest);
  if (low == 0 && high == 0) {
    low = -1;
    high = 1;
  }
  const float scale = (high - low) / largest_grid_code;
  return {scale, std::nearbyint(-low / scale)};
}

// The code of a value, a whole number 0 .. 15.
constexpr float code_of(float value, const CodeGrid& grid) {
  const float code = std::nearbyint(value / grid.scale) + grid.zero;
  return std::clamp(code, 0.0F, largest_grid_code);
}

// What the range is multiplied by where it may be clipped: clip_factor(0) .. (clip_factors - 1).
inline constexpr int clip_factors = 7;
constexpr float clip_factor(int index) {
  constexpr float factors[clip_factors] = {1.0F, 0.95F, 0.9F, 0.85F, 0.8F, 0.75F, 0.7F};
  return factors[index];
}

// importance (W^ - W)^2 of one value.
constexpr double clip_error(float value, float importance, const CodeGrid& grid) {
  const double off =
      double{grid.scale} * (double{code_of(value, grid)} - double{grid.zero}) - double{value};
  return double{importance} * off * off;
}

}  // namespace bitmill
