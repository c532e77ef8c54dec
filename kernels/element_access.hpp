#pragma once
// How a kernel reads and writes arrays of an Element: one or four elements in one access. For the
// .cu files only.

#include <bit>
#include <cstdint>

#include "kernels/element.hpp"
#include "kernels/tile.hpp"

namespace bitmill::kernels {

struct Bf16 {
  uint16_t bits;
};

__device__ __forceinline__ float widened(float value) { return value; }
__device__ __forceinline__ float widened(Bf16 value) {
  return std::bit_cast<float>(uint32_t{value.bits} << 16);
}

template <typename T>
__device__ __forceinline__ T rounded(float value);
template <>
__device__ __forceinline__ float rounded<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ Bf16 rounded<Bf16>(float value) {
  return {static_cast<uint16_t>(round_to_bf16(value, 0.0F))};
}

// `width` is 1 or 4; four float32 begin at a multiple of 16 bytes, four bfloat16 at one of 8.
template <int width>
__device__ __forceinline__ void load(const float* from, float (&to)[width]) {
  if constexpr (width == 4) {
    const Words4 words = load16(from);
    for (int i = 0; i < 4; ++i) to[i] = std::bit_cast<float>(words.word[i]);
  } else {
    to[0] = *from;
  }
}
template <int width>
__device__ __forceinline__ void load(const Bf16* from, float (&to)[width]) {
  if constexpr (width == 4) {
    const uint64_t bits = *reinterpret_cast<const uint64_t*>(from);
    for (int i = 0; i < 4; ++i) {
      to[i] = std::bit_cast<float>(static_cast<uint32_t>(bits >> (16 * i)) << 16);
    }
  } else {
    to[0] = widened(*from);
  }
}

template <int width>
__device__ __forceinline__ void store(float* to, const float (&from)[width]) {
  if constexpr (width == 4) {
    Words4 words;
    for (int i = 0; i < 4; ++i) words.word[i] = std::bit_cast<uint32_t>(from[i]);
    store16(to, words);
  } else {
    *to = from[0];
  }
}
template <int width>
__device__ __forceinline__ void store(Bf16* to, const float (&from)[width]) {
  if constexpr (width == 4) {
    const uint64_t high = round_to_bf16(from[2], from[3]);
    *reinterpret_cast<uint64_t*>(to) = round_to_bf16(from[0], from[1]) | high << 32;
  } else {
    *to = rounded<Bf16>(from[0]);
  }
}

// The sum over all lanes of a warp, the same bits in each: pairs 16 apart first, then 8, 4, 2, 1.
__device__ __forceinline__ float warp_sum(float value) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(~0U, value, distance);
  }
  return value;
}

// run(T{}) with the C++ type of `element`. On the host.
template <typename Run>
cudaError_t with_element(Element element, Run run) {
  return element == Element::float32 ? run(float{}) : run(Bf16{});
}
// run(T{}, w) too, where w.value is 4 if `columns`, the length of a row, is a multiple of 4,
// else 1.
template <int width>
struct Width {
  static constexpr int value = width;
};
template <typename Run>
cudaError_t with_element_and_width(Element element, int64_t columns, Run run) {
  return with_element(element, [&](auto zero) {
    return columns % 4 == 0 ? run(zero, Width<4>{}) : run(zero, Width<1>{});
  });
}

}  // namespace bitmill::kernels
