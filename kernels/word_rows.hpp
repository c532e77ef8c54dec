#pragma once
// Rows of packed words begin anywhere, and memory moves in sectors. So a warp reads and writes 32
// words from a sector's boundary on, and lanes exchange what is not theirs. For the .cu files only;
// every function is for all lanes of a warp.

#include <cstdint>

#include "format/packed_layout.hpp"
#include "kernels/simt.hpp"

namespace bitmill::kernels {

inline constexpr int numbers_per_sector = 8;  // of 4 bytes

// Lane l gets word l + phase of 64: `here` has the first 32, a word per lane, `next` the others.
__device__ __forceinline__ uint32_t words_ahead(uint32_t here, uint32_t next, int phase) {
  const int place = static_cast<int>(threadIdx.x % 32) + phase;
  const uint32_t near = __shfl_sync(~0U, here, place % 32);
  const uint32_t far = __shfl_sync(~0U, next, place % 32);
  return place < 32 ? near : far;
}
// Lane l gets word l - phase; those below 0 are the last ones of `before`.
__device__ __forceinline__ uint32_t words_behind(uint32_t before, uint32_t here, int phase) {
  const int lane = static_cast<int>(threadIdx.x % 32), place = (lane + 32 - phase) % 32;
  const uint32_t near = __shfl_sync(~0U, here, place);
  const uint32_t far = __shfl_sync(~0U, before, place);
  return lane >= phase ? near : far;
}

// 32 words of bits, a word per lane, of latents [first, first + count) of an array that begins at a
// sector: bit b of lane l is 1 where latent first + 32 l + b is 0 or more. count <= 1,024; bits
// behind it are 0.
__device__ __forceinline__ uint32_t sign_bits(const float* latents, int64_t first, int count) {
  constexpr int ahead = 11;  // reads under way; three times 11 are 33
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int phase = static_cast<int>(first % numbers_per_sector);
  uint32_t here = 0, last = 0;
  for (int begin = 0; begin < 33; begin += ahead) {
    float value[ahead];
    for (int i = 0; i < ahead; ++i) {
      const int begins = (begin + i) * 32 - phase;
      value[i] = -1;
      if (begins >= count) continue;  // the same for all lanes
      // A lane without a latent reads that of its neighbour, which costs nothing.
      const int place = begins + lane < 0 ? 0 : begins + lane;
      value[i] = latents[first + (place < count ? place : count - 1)];
    }
    for (int i = 0; i < ahead; ++i) {
      const int place = (begin + i) * 32 - phase + lane;
      const bool bit = value[i] >= 0 && place >= 0 && place < count;
      const uint32_t bits = __ballot_sync(~0U, bit);
      if (begin + i == lane) here = bits;
      last = bits;
    }
  }
  const uint32_t next = __shfl_down_sync(~0U, here, 1);
  const uint32_t after = lane == 31 ? last : next;
  return phase == 0 ? here : here >> phase | after << (32 - phase);
}

}  // namespace bitmill::kernels
