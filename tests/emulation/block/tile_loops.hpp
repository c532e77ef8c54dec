#pragma once
// The instructions of kernels/tile.hpp as plain loops. Contracts and layouts are there.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <source_location>

namespace bitmill::emulation {

enum class Half { bf16, f16 };
// Exact products; sums in float32, k in ascending order. Tensor cores round otherwise: only sums
// that are exact in float32 are the same there.
void mma_halves(Half type, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                const std::source_location& site);
enum class BitProduct { bit_and, bit_xor };
void mma_bits(BitProduct product, int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
              const std::source_location& site);
int dot_bytes(int a, int b, int c);

// The destination is all ones (NaN) until the bytes arrive, which is in wait_copies().
void copy_async(void* to_shared, const void* from_global, size_t bytes);
void commit_copies();
void wait_copies(unsigned left);

// PTX ISA, cvt.rn.bf16x2.f32: to nearest, ties to even; every NaN is this one.
inline uint32_t bf16_bits(float value) {
  if (value != value) return 0x7FFF;
  const auto bits = std::bit_cast<uint32_t>(value);
  return (bits + 0x7FFF + ((bits >> 16) & 1U)) >> 16;
}

void load16(uint32_t (&words)[4], const void* from);
void store16(void* to, const uint32_t (&words)[4]);

}  // namespace bitmill::emulation
