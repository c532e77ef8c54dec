#include "kernels/tile_probe.hpp"

#include "kernels/tile.hpp"

namespace bitmill::probe {
namespace {

using kernels::cudaError_t;
using kernels::cudaStream_t;
using kernels::launch;

template <Product product, typename Value>
__device__ void multiply_fragments(Value (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (product == Product::bf16) kernels::mma_bf16(d, a, b);
  if constexpr (product == Product::f16) kernels::mma_f16(d, a, b);
  if constexpr (product == Product::b1_and) kernels::mma_b1_and(d, a, b);
  if constexpr (product == Product::b1_xor) kernels::mma_b1_xor(d, a, b);
}

template <Product product, typename Value>
__global__ void multiply_kernel(const uint32_t* a, const uint32_t* b, Value* d) {
  const int lane = static_cast<int>(threadIdx.x), group = lane / 4, member = lane % 4;
  uint32_t a_part[4], b_part[2];
  Value value[4];
  for (int r = 0; r < 4; ++r) a_part[r] = a[(group + r % 2 * 8) * 8 + member + r / 2 * 4];
  for (int r = 0; r < 2; ++r) b_part[r] = b[group * 8 + member + r * 4];
  for (int i = 0; i < 4; ++i) value[i] = d[(group + i / 2 * 8) * 8 + member * 2 + i % 2];
  multiply_fragments<product>(value, a_part, b_part);
  for (int i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + member * 2 + i % 2] = value[i];
}

__global__ void dot_bytes_kernel(const int32_t* a, const int32_t* b, int32_t* sum, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) sum[i] = kernels::dot_bytes(a[i], b[i], sum[i]);
}

constexpr int row = 128;  // float32
constexpr int stages = 3;

template <int bytes>
__global__ void sum_rows_kernel(const float* x, float* sum, int steps) {
  BITMILL_SHARED(float, stage, [stages][row]);
  const int thread = static_cast<int>(threadIdx.x);
  constexpr int per_thread = bytes / 4;
  const auto fetch = [&](int step) {
    if (step < steps && thread * per_thread < row) {
      kernels::copy_async<bytes>(&stage[step % stages][thread * per_thread],
                                 x + step * row + thread * per_thread);
    }
    kernels::commit_copies();
  };
  fetch(0);
  fetch(1);
  float mine = 0;
  for (int step = 0; step < steps; ++step) {
    kernels::wait_copies<1>();
    __syncthreads();  // everybody's part of this row is there, and the row before has been read
    fetch(step + 2);
    mine += stage[step % stages][thread];
  }
  kernels::wait_copies<0>();
  sum[thread] = mine;
}

__global__ void reverse_kernel(const uint32_t* from, uint32_t* to, int count) {
  const int i = static_cast<int>(threadIdx.x);
  const kernels::Words4 read = kernels::load16(from + 4 * (count - 1 - i));
  kernels::store16(to + 4 * i, {{read.word[3], read.word[2], read.word[1], read.word[0]}});
}

__global__ void round_kernel(const float* from, uint32_t* to) {
  const int i = static_cast<int>(threadIdx.x);
  to[i] = kernels::round_to_bf16(from[2 * i], from[2 * i + 1]);
}

__global__ void collectives_kernel(int32_t* out, int operand, int width) {
  const int lane = static_cast<int>(threadIdx.x);
  const auto by = static_cast<unsigned>(operand);
  out[lane] = __shfl_sync(~0U, lane, operand, width);
  out[32 + lane] = __shfl_up_sync(~0U, lane, by, width);
  out[64 + lane] = __shfl_down_sync(~0U, lane, by, width);
  out[96 + lane] = __shfl_xor_sync(~0U, lane, operand, width);
  out[128 + lane] = static_cast<int32_t>(__ballot_sync(~0U, lane < operand));
  out[160 + lane] = static_cast<int32_t>(__match_any_sync(~0U, lane % 3));
}

}  // namespace

cudaError_t multiply(Product product, const uint32_t* a, const uint32_t* b, float* d,
                     cudaStream_t stream) {
  return product == Product::bf16
             ? launch(multiply_kernel<Product::bf16, float>, {{1}, {32}}, stream, a, b, d)
             : launch(multiply_kernel<Product::f16, float>, {{1}, {32}}, stream, a, b, d);
}

cudaError_t multiply(Product product, const uint32_t* a, const uint32_t* b, int32_t* d,
                     cudaStream_t stream) {
  return product == Product::b1_and
             ? launch(multiply_kernel<Product::b1_and, int32_t>, {{1}, {32}}, stream, a, b, d)
             : launch(multiply_kernel<Product::b1_xor, int32_t>, {{1}, {32}}, stream, a, b, d);
}

cudaError_t dot_bytes(const int32_t* a, const int32_t* b, int32_t* sum, int count,
                      cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(count + 63) / 64;
  return launch(dot_bytes_kernel, {{blocks}, {64}}, stream, a, b, sum, count);
}

cudaError_t sum_rows_copied_late(const float* x, float* sum, int steps, int copy_bytes,
                                 cudaStream_t stream) {
  return copy_bytes == 16 ? launch(sum_rows_kernel<16>, {{1}, {row}}, stream, x, sum, steps)
                          : launch(sum_rows_kernel<4>, {{1}, {row}}, stream, x, sum, steps);
}

cudaError_t reverse_by_16(const uint32_t* from, uint32_t* to, int count, cudaStream_t stream) {
  return launch(reverse_kernel, {{1}, {static_cast<unsigned>(count)}}, stream, from, to, count);
}

cudaError_t round_pairs(const float* from, uint32_t* to, int count, cudaStream_t stream) {
  return launch(round_kernel, {{1}, {static_cast<unsigned>(count)}}, stream, from, to);
}

cudaError_t collectives(int32_t* out, int operand, int width, cudaStream_t stream) {
  return launch(collectives_kernel, {{1}, {32}}, stream, out, operand, width);
}

}  // namespace bitmill::probe
