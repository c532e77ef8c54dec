#pragma once
// Vectors as wide as the flags of the source that includes this, and what is written once for all
// widths with them.
//
// Everything here and in the headers that stand on it has internal linkage: every kernel's source
// compiles its own copy, with its own flags. For the same reason these files use nothing inline of
// the standard library: the linker would keep one copy for all, perhaps that with AVX-512.

#include <cstdint>

#include "kernels/cpu/kernel.hpp"
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace bitmill::kernels::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int lane_count = 16;
#elif defined(__AVX2__)
constexpr int lane_count = 8;
#else
constexpr int lane_count = 4;  // SSE2 of any x86-64, and NEON
#endif
// A tile's 16 rows are so many vectors.
constexpr int tile_parts = tile_rows / lane_count;

using FloatLanes [[gnu::vector_size(4 * lane_count)]] = float;
using IntLanes [[gnu::vector_size(4 * lane_count)]] = int32_t;
using WordLanes [[gnu::vector_size(4 * lane_count)]] = uint32_t;
using HalfLanes [[gnu::vector_size(2 * lane_count)]] = uint16_t;
// Two halves of every word, the lower first.
using PairLanes [[gnu::vector_size(4 * lane_count)]] = int16_t;

template <class Lanes>
inline Lanes load(const void* from) {
  Lanes lanes;
  __builtin_memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}
template <class Lanes>
inline void store(void* to, const Lanes& lanes) {
  __builtin_memcpy(to, &lanes, sizeof(lanes));
}
inline FloatLanes to_float(const IntLanes& lanes) {
  return __builtin_convertvector(lanes, FloatLanes);
}

// lane_count float16, widened exactly.
inline FloatLanes load_half(const void* from) {
#if defined(__AVX512F__)
  return (FloatLanes)_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
#elif defined(__AVX2__)
  return (FloatLanes)_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(from)));
#else
  const WordLanes bits = __builtin_convertvector(load<HalfLanes>(from), WordLanes);
  const WordLanes exponent = bits & 0x7C00U, mantissa = bits & 0x3FFU,
                  sign = (bits & 0x8000U) << 16;
  const WordLanes normal = ((bits & 0x7FFFU) << 13) + (112U << 23);
  const WordLanes special = ((bits & 0x7FFFU) << 13) | 0x7F800000U;  // infinite, or no number
  const FloatLanes tiny = to_float((IntLanes)mantissa) * 0x1p-24F;   // subnormal
  const WordLanes magnitude =
      exponent == 0U ? (WordLanes)tiny : (exponent == 0x7C00U ? special : normal);
  return (FloatLanes)(magnitude | sign);
#endif
}
// lane_count bfloat16, widened exactly.
inline FloatLanes load_bfloat(const void* from) {
#if defined(__AVX512F__)  // GCC would widen each half by itself
  const auto bits = (WordLanes)_mm512_cvtepu16_epi32(load<__m256i>(from));
#else
  const WordLanes bits = __builtin_convertvector(load<HalfLanes>(from), WordLanes);
#endif
  return (FloatLanes)(bits << 16);
}

// base[index[i]] for lane_count places.
inline FloatLanes load_at(const float* base, const int32_t* index) {
#if defined(__AVX512F__)
  return (FloatLanes)_mm512_i32gather_ps(_mm512_loadu_si512(index), base, 4);
#elif defined(__AVX2__)
  const auto* const places = reinterpret_cast<const __m256i*>(index);
  return (FloatLanes)_mm256_i32gather_ps(base, _mm256_loadu_si256(places), 4);
#else
  FloatLanes lanes;
  for (int lane = 0; lane < lane_count; ++lane) lanes[lane] = base[index[lane]];
  return lanes;
#endif
}

// Copies the rows of a tile that exist: 16, or fewer at the weight's end.
inline void store_rows(const float* tile, int64_t rows, float* to) {
  for (int64_t row = 0; row < rows; ++row) to[row] = tile[row];
}

}  // namespace
}  // namespace bitmill::kernels::cpu
