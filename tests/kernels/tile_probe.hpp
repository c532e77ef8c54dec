#pragma once
// Small kernels that do what kernels/tile.hpp and simt.hpp promise, one thing each. The same source
// runs on the emulator (tests/kernels) and on a GPU (tests/gpu), against the same plain loops
// (tile_checks.hpp).

#include <cstdint>

#include "kernels/launch.hpp"

namespace bitmill::probe {

enum class Product { bf16, f16, b1_and, b1_xor };

// d += a b, by one warp.
//   a  uint32 [16, 8]   a row is 16 halves or 256 bits
//   b  uint32 [8, 8]    a row of this array is a column of b
//   d  float32 or int32 [16, 8]
kernels::cudaError_t multiply(Product product, const uint32_t* a, const uint32_t* b, float* d,
                              kernels::cudaStream_t stream);
kernels::cudaError_t multiply(Product product, const uint32_t* a, const uint32_t* b, int32_t* d,
                              kernels::cudaStream_t stream);

// sum[i] += the dot product of the bytes of a[i] and b[i]; all int32 [count].
kernels::cudaError_t dot_bytes(const int32_t* a, const int32_t* b, int32_t* sum, int count,
                               kernels::cudaStream_t stream);

// sum float32 [128] = the sum of the `steps` rows of x [steps, 128], which one block copies late,
// two rows ahead, 16 bytes a thread (or 4).
kernels::cudaError_t sum_rows_copied_late(const float* x, float* sum, int steps, int copy_bytes,
                                          kernels::cudaStream_t stream);

// to[i] = from[count - 1 - i], 16 bytes at a time. uint32 [4 * count].
kernels::cudaError_t reverse_by_16(const uint32_t* from, uint32_t* to, int count,
                                   kernels::cudaStream_t stream);

// to[i] = the halves of from[2 i] and from[2 i + 1], rounded to bfloat16. float32 [2 * count].
kernels::cudaError_t round_pairs(const float* from, uint32_t* to, int count,
                                 kernels::cudaStream_t stream);

// What lane l of one warp gets, int32 [6, 32]: shuffles of the lane's number (index, up, down, xor)
// with `operand` and `width`, the votes of the lanes below `operand`, the lanes of the same l % 3.
kernels::cudaError_t collectives(int32_t* out, int operand, int width,
                                 kernels::cudaStream_t stream);

}  // namespace bitmill::probe
