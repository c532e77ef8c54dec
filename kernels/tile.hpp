#pragma once
// The instructions that C++ has no name for: tensor cores, dot products of bytes, late copies,
// rounding to bfloat16 and 16-byte accesses. nvcc gets the PTX; the block emulator
// (tests/emulation/block) gets a plain loop that does what the PTX ISA says.
//
// Fragments of the three mma functions, PTX ISA "Matrix Fragments for mma.m16n8k16" and
// "mma.m16n8k256": lane = 4 * group + member.
//
//   A [16, K]  register r of a lane: row group + 8 * (r % 2), part member + 4 * (r / 2) of the row
//   B [K, 8]   register r of a lane: column group, part member + 4 * r of the column
//   D [16, 8]  value i of a lane: row group + 8 * (i / 2), column 2 * member + i % 2
//
// A part is one 32-bit register: 2 halves (K = 16) or 32 bits (K = 256); the lower bits come first.

#include "kernels/simt.hpp"

#ifndef __CUDACC__
#include "tests/emulation/block/tile_loops.hpp"
#endif

namespace bitmill::kernels {

struct alignas(16) Words4 {
  uint32_t word[4];
};

#ifdef __CUDACC__

#define BITMILL_MMA_HALVES(type)                                       \
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type  \
               ".f32 "                                                 \
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])        \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define BITMILL_MMA_BITS(operation)                                          \
  asm volatile("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32." operation \
               ".popc "                                                      \
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"       \
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])              \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

// D += A B: 16-bit halves, float32 sums. All lanes of the warp.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2]) {
  BITMILL_MMA_HALVES("bf16");
}
__device__ __forceinline__ void mma_f16(float (&d)[4], const uint32_t (&a)[4],
                                        const uint32_t (&b)[2]) {
  BITMILL_MMA_HALVES("f16");
}

// D[i, j] += the ones in (row i of A) and, or xor, (column j of B). All lanes of the warp.
__device__ __forceinline__ void mma_b1_and(int (&d)[4], const uint32_t (&a)[4],
                                           const uint32_t (&b)[2]) {
  BITMILL_MMA_BITS("and");
}
__device__ __forceinline__ void mma_b1_xor(int (&d)[4], const uint32_t (&a)[4],
                                           const uint32_t (&b)[2]) {
  BITMILL_MMA_BITS("xor");
}

#undef BITMILL_MMA_HALVES
#undef BITMILL_MMA_BITS

// c + the four products of signed bytes of a and b.
__device__ __forceinline__ int dot_bytes(int a, int b, int c) { return __dp4a(a, b, c); }

// Copies `bytes` (4, 8 or 16; both addresses aligned to it) from global to shared memory. They
// arrive at any time up to the wait_copies() that waits for their group. A thread sees its own
// copies after its wait, other threads after a barrier too. Reading earlier finds anything.
template <int bytes>
__device__ __forceinline__ void copy_async(void* to_shared, const void* from_global) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(to_shared));
  if constexpr (bytes == 16) {  // past the L1 cache
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from_global)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(from_global), "n"(bytes)
                 : "memory");
  }
}
// The copies of this thread since its last commit are a group.
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits until all groups of this thread but the latest `left` have arrived.
template <int left>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}

// `low` in bits 0 to 15 and `high` in bits 16 to 31, rounded to bfloat16: to nearest, ties to even.
// A NaN becomes 0x7FFF.
__device__ __forceinline__ uint32_t round_to_bf16(float low, float high) {
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

// 16 bytes in one access, aligned to 16.
__device__ __forceinline__ Words4 load16(const void* from) {
  const uint4 all = *static_cast<const uint4*>(from);
  return {{all.x, all.y, all.z, all.w}};
}
__device__ __forceinline__ void store16(void* to, const Words4& words) {
  *static_cast<uint4*>(to) = make_uint4(words.word[0], words.word[1], words.word[2], words.word[3]);
}

#else  // the contracts are those above

__forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                              BitmillSite site = BitmillSite::current()) {
  emulation::mma_halves(emulation::Half::bf16, d, a, b, site);
}
__forceinline__ void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                             BitmillSite site = BitmillSite::current()) {
  emulation::mma_halves(emulation::Half::f16, d, a, b, site);
}
__forceinline__ void mma_b1_and(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                BitmillSite site = BitmillSite::current()) {
  emulation::mma_bits(emulation::BitProduct::bit_and, d, a, b, site);
}
__forceinline__ void mma_b1_xor(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                BitmillSite site = BitmillSite::current()) {
  emulation::mma_bits(emulation::BitProduct::bit_xor, d, a, b, site);
}
__forceinline__ int dot_bytes(int a, int b, int c) { return emulation::dot_bytes(a, b, c); }

template <int bytes>
__forceinline__ void copy_async(void* to_shared, const void* from_global) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
  emulation::copy_async(to_shared, from_global, bytes);
}
__forceinline__ void commit_copies() { emulation::commit_copies(); }
template <int left>
__forceinline__ void wait_copies() {
  emulation::wait_copies(left);
}

__forceinline__ uint32_t round_to_bf16(float low, float high) {
  return emulation::bf16_bits(low) | emulation::bf16_bits(high) << 16;
}

__forceinline__ Words4 load16(const void* from) {
  Words4 words;
  emulation::load16(words.word, from);
  return words;
}
__forceinline__ void store16(void* to, const Words4& words) { emulation::store16(to, words.word); }

#endif

}  // namespace bitmill::kernels
