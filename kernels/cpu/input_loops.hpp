#pragma once
// Gathers and rounds a token: see Kernel. Internal linkage, as lanes.hpp says.

#include "kernels/cpu/lanes.hpp"

namespace bitmill::kernels::cpu {
namespace {

inline uint32_t gather(const float* x, const GatherTable& table, float* out) {
  IntLanes largest = {};
  for (int64_t i = 0; i < table.count; i += lane_count) {
    const FloatLanes values = load<FloatLanes>(table.gain + i) * load_at(x, table.source + i);
    store(out + i, values);
    // As whole numbers, magnitudes are ordered alike, and what is not finite lies above.
    const IntLanes magnitude = (IntLanes)values & 0x7FFFFFFF;
    largest = magnitude > largest ? magnitude : largest;
  }
  int32_t all = 0;
  for (int lane = 0; lane < lane_count; ++lane) all = largest[lane] > all ? largest[lane] : all;
  return static_cast<uint32_t>(all);
}

// value * inverse, rounded to nearest, ties to even. REQUIRES: below 2^22 in magnitude.
inline int32_t rounded(float value, float inverse) {
  // At 1.5 * 2^23 floats are one apart, and their last bits are the whole number.
  constexpr float shift = 0x1.8p23F;
  const float moved = value * inverse + shift;
  return __builtin_bit_cast(int32_t, moved) - __builtin_bit_cast(int32_t, shift);
}

inline int32_t round_one_digit(const float* values, int64_t count, float inverse, int8_t* digit) {
  int32_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t whole = rounded(values[i], inverse);
    digit[i] = static_cast<int8_t>(whole);
    sum += whole;
  }
  return sum;
}

inline void round_two_digits(const float* values, int64_t count, float inverse, int8_t* high,
                             int8_t* low, int32_t sums[2]) {
  int32_t high_sum = 0, low_sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t whole = rounded(values[i], inverse);
    const int32_t last = ((whole + 128) & 255) - 128;
    const int32_t first = (whole - last) >> 8;
    high[i] = static_cast<int8_t>(first);
    low[i] = static_cast<int8_t>(last);
    high_sum += first;
    low_sum += last;
  }
  sums[0] = high_sum;
  sums[1] = low_sum;
}

}  // namespace
}  // namespace bitmill::kernels::cpu
