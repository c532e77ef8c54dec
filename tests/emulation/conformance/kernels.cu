#include "emulation/conformance/kernels.hpp"

#include "kernels/simt.hpp"
#include "kernels/tile.hpp"

namespace conformance {
namespace {

using namespace bitmill::kernels;

__global__ void write_kernel(int* to, int value) { *to = value; }

__global__ void count_kernel(int* counts) {
  if (threadIdx.x == 0) counts[blockIdx.x] += 1;
}

// Registers of one lane as tile.hpp lays them out. `parts`: 32-bit parts of a row of A and of a
// column of B, 8 for both shapes.
constexpr int parts = 8;

struct Fragments {
  uint32_t a[4], b[2];
};

__device__ Fragments load_fragments(const uint32_t* a, const uint32_t* b) {
  const int group = static_cast<int>(threadIdx.x) / 4, member = static_cast<int>(threadIdx.x) % 4;
  Fragments loaded;
  for (int r = 0; r < 4; ++r) {
    loaded.a[r] = a[(group + 8 * (r % 2)) * parts + member + 4 * (r / 2)];
  }
  for (int r = 0; r < 2; ++r) loaded.b[r] = b[group * parts + member + 4 * r];
  return loaded;
}

template <typename T>
__device__ T* element_of(T* d, int i) {
  const int group = static_cast<int>(threadIdx.x) / 4, member = static_cast<int>(threadIdx.x) % 4;
  return d + (group + 8 * (i / 2)) * 8 + 2 * member + i % 2;
}

template <bool bf16>
__global__ void halves_kernel(const uint32_t* a, const uint32_t* b, float* d) {
  const Fragments in = load_fragments(a, b);
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = *element_of(d, i);
  if constexpr (bf16) {
    mma_bf16(sums, in.a, in.b);
  } else {
    mma_f16(sums, in.a, in.b);
  }
  for (int i = 0; i < 4; ++i) *element_of(d, i) = sums[i];
}

template <bool exclusive>
__global__ void bits_kernel(const uint32_t* a, const uint32_t* b, int* d) {
  const Fragments in = load_fragments(a, b);
  int sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = *element_of(d, i);
  if constexpr (exclusive) {
    mma_b1_xor(sums, in.a, in.b);
  } else {
    mma_b1_and(sums, in.a, in.b);
  }
  for (int i = 0; i < 4; ++i) *element_of(d, i) = sums[i];
}

__global__ void shuffle_kernel(const int* in, int* from, int* across, int* up, int* down) {
  const unsigned lane = threadIdx.x;
  const int own = in[lane];
  from[lane] = __shfl_sync(~0U, own, 3);
  across[lane] = __shfl_xor_sync(~0U, own, 1);
  up[lane] = __shfl_up_sync(~0U, own, 2);
  down[lane] = __shfl_down_sync(~0U, own, 2);
}

__global__ void vote_kernel(const int* in, unsigned* out) {
  const unsigned odd = __ballot_sync(~0U, in[threadIdx.x] % 2 != 0);
  if (threadIdx.x == 0) *out = odd;
}

__global__ void dot_kernel(const int* a, const int* b, const int* c, int* out) {
  const unsigned i = threadIdx.x;
  out[i] = dot_bytes(a[i], b[i], c[i]);
}

__global__ void reverse_kernel(const uint32_t* in, uint32_t* out) {
  BITMILL_SHARED(uint32_t, words, [64]);
  const int i = static_cast<int>(threadIdx.x);
  if (i < 16) copy_async<16>(&words[4 * i], in + 4 * i);
  commit_copies();
  wait_copies<0>();
  __syncthreads();
  out[i] = words[63 - i];
}

LaunchShape one_warp() { return {{1}, {32}}; }

const uint32_t* in_words(const uint16_t* halves) {
  return reinterpret_cast<const uint32_t*>(halves);
}

}  // namespace

cudaError_t write_value(int* to, int value, cudaStream_t stream) {
  return launch(write_kernel, {{1}, {1}}, stream, to, value);
}

cudaError_t count_blocks(int* counts, unsigned blocks, unsigned threads, cudaStream_t stream) {
  return launch(count_kernel, {{blocks}, {threads}}, stream, counts);
}

cudaError_t multiply_bf16(const uint16_t* a, const uint16_t* b, float* d, cudaStream_t stream) {
  return launch(halves_kernel<true>, one_warp(), stream, in_words(a), in_words(b), d);
}
cudaError_t multiply_f16(const uint16_t* a, const uint16_t* b, float* d, cudaStream_t stream) {
  return launch(halves_kernel<false>, one_warp(), stream, in_words(a), in_words(b), d);
}
cudaError_t multiply_and(const uint32_t* a, const uint32_t* b, int* d, cudaStream_t stream) {
  return launch(bits_kernel<false>, one_warp(), stream, a, b, d);
}
cudaError_t multiply_xor(const uint32_t* a, const uint32_t* b, int* d, cudaStream_t stream) {
  return launch(bits_kernel<true>, one_warp(), stream, a, b, d);
}

cudaError_t shuffle(const int* in, int* from, int* across, int* up, int* down,
                    cudaStream_t stream) {
  return launch(shuffle_kernel, one_warp(), stream, in, from, across, up, down);
}
cudaError_t vote(const int* in, unsigned* out, cudaStream_t stream) {
  return launch(vote_kernel, one_warp(), stream, in, out);
}
cudaError_t dot_of_bytes(const int* a, const int* b, const int* c, int* out, cudaStream_t stream) {
  return launch(dot_kernel, one_warp(), stream, a, b, c, out);
}
cudaError_t reverse_through_shared(const uint32_t* in, uint32_t* out, cudaStream_t stream) {
  return launch(reverse_kernel, {{1}, {64}}, stream, in, out);
}

}  // namespace conformance
