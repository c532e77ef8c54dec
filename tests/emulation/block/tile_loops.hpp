#pragma once
// The instructions of kernels/tile.hpp as plain loops. Contracts and layouts are there.

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

void load16(uint32_t (&words)[4], const void* from);
void store16(void* to, const uint32_t (&words)[4]);

}  // namespace bitmill::emulation
