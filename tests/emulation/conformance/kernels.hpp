#pragma once
// Small kernels for the cases. Each launcher returns the result of the launch.

#include <cuda_runtime_api.h>

#include <cstdint>

namespace conformance {

// *to = value, by one thread. A null address is a fault of the kernel.
cudaError_t write_value(int* to, int value, cudaStream_t stream);
// One thread of each block adds 1 to its element of `counts`.
cudaError_t count_blocks(int* counts, unsigned blocks, unsigned threads, cudaStream_t stream);

// One warp. d [16, 8] += a [16, 16] b [16, 8]; a by rows, b by columns, as 16-bit patterns.
cudaError_t multiply_bf16(const uint16_t* a, const uint16_t* b, float* d, cudaStream_t stream);
cudaError_t multiply_f16(const uint16_t* a, const uint16_t* b, float* d, cudaStream_t stream);
// The same of bits: a [16, 256] by rows, b [256, 8] by columns, the lowest bit of a word first.
cudaError_t multiply_and(const uint32_t* a, const uint32_t* b, int* d, cudaStream_t stream);
cudaError_t multiply_xor(const uint32_t* a, const uint32_t* b, int* d, cudaStream_t stream);

// out[lane] of one warp, for the four shuffles of `in[lane]`: from lane 3; xor 1; up 2; down 2.
cudaError_t shuffle(const int* in, int* from, int* across, int* up, int* down, cudaStream_t stream);
// *out = the lanes of one warp with an odd element.
cudaError_t vote(const int* in, unsigned* out, cudaStream_t stream);
// out[i] = c[i] + the four products of the signed bytes of a[i] and b[i]; 32 elements.
cudaError_t dot_of_bytes(const int* a, const int* b, const int* c, int* out, cudaStream_t stream);
// 64 words through shared memory, by copies that arrive late; written back in reverse.
cudaError_t reverse_through_shared(const uint32_t* in, uint32_t* out, cudaStream_t stream);

}  // namespace conformance
