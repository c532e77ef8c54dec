#include "kernels/operands.hpp"

#include "kernels/element_access.hpp"
#include "kernels/word_rows.hpp"

namespace bitmill::kernels {
namespace {

// Tiles: signs, a warp makes 1,024 columns of one row; codes, a warp makes a row. Bound by writing
// the operand, and by reading latents where signs come from them. Both are moved as whole sectors.
constexpr int warps = 8;
constexpr int threads = warps * 32;
constexpr int columns_per_warp = 32 * packed::bits_per_word;

template <typename T>
constexpr int per_access = 16 / sizeof(T);

template <typename T>
__device__ void write_values(T* to, const float (&values)[per_access<T>]) {
  if constexpr (sizeof(T) == 4) {
    store(to, values);
  } else {
    Words4 words;
#pragma unroll
    for (int i = 0; i < 4; ++i) words.word[i] = round_to_bf16(values[2 * i], values[2 * i + 1]);
    store16(to, words);
  }
}

template <typename T>
__global__ void __launch_bounds__(threads)
    signs_operand_kernel(SignsOperand task, int64_t tiles_across) {
  const int64_t tile = int64_t{blockIdx.x} * warps + threadIdx.x / 32;
  const int64_t row = tile / tiles_across;
  const int first = static_cast<int>(tile % tiles_across) * columns_per_warp;
  if (row >= task.rows) return;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int low = static_cast<int>(task.low), left = low > first ? low - first : 0;
  const int columns = left < columns_per_warp ? left : columns_per_warp;
  uint32_t bits = 0;
  if (task.latents != nullptr) {
    bits = sign_bits(task.latents, row * task.low + first, columns);
  } else if (lane * packed::bits_per_word < columns) {
    bits = task.words[row * packed::words_for(low, packed::bits_per_word) +
                      first / packed::bits_per_word + lane];
  }
  T* const out = static_cast<T*>(task.operand) + row * task.stride + first;
  const int end = static_cast<int>(task.stride) - first;
#pragma unroll
  for (int round = 0; round < packed::bits_per_word / per_access<T>; ++round) {
    const int column = (round * 32 + lane) * per_access<T>;
    const uint32_t mine =
        __shfl_sync(~0U, bits, column / packed::bits_per_word) >> (column % packed::bits_per_word);
    float values[per_access<T>];
#pragma unroll
    for (int i = 0; i < per_access<T>; ++i) {
      values[i] = column + i >= columns ? 0.0F : ((mine >> i & 1U) != 0 ? 1.0F : -1.0F);
    }
    if (column < end) write_values(out + column, values);
  }
}

template <typename T>
__global__ void __launch_bounds__(threads) codes_operand_kernel(CodesOperand task) {
  constexpr int rounds = packed::codes_per_word / per_access<T>;  // accesses for 32 words
  const int64_t row = int64_t{blockIdx.x} * warps + threadIdx.x / 32;
  if (row >= task.rows) return;
  const int lane = static_cast<int>(threadIdx.x % 32), salient = static_cast<int>(task.salient);
  const float zero = task.code_zero[row];
  const int words = static_cast<int>(packed::words_for(salient, packed::codes_per_word));
  const uint32_t* const from = task.words + row * words;
  const int phase = static_cast<int>(row * words % numbers_per_sector);
  // Words 32 chunk - phase + lane of the row.
  const auto read = [&](int chunk) {
    const int word = 32 * chunk - phase + lane;
    return word >= 0 && word < words ? from[word] : 0;
  };
  T* const out = static_cast<T*>(task.operand) + row * task.stride;
  uint32_t here = read(0);
  for (int chunk = 0; chunk * 32 * packed::codes_per_word < task.stride; ++chunk) {
    const uint32_t next = read(chunk + 1);
    const uint32_t word = words_ahead(here, next, phase);
    here = next;
#pragma unroll
    for (int round = 0; round < rounds; ++round) {
      const int inside = (round * 32 + lane) * per_access<T>;
      const uint32_t mine = __shfl_sync(~0U, word, inside / packed::codes_per_word);
      const int column = chunk * 32 * packed::codes_per_word + inside;
      float values[per_access<T>];
#pragma unroll
      for (int i = 0; i < per_access<T>; ++i) {
        const uint32_t code = packed::get_code(&mine, (inside + i) % packed::codes_per_word);
        values[i] = column + i < salient ? static_cast<float>(code) - zero : 0.0F;
      }
      if (column < task.stride) write_values(out + column, values);
    }
  }
}

}  // namespace

cudaError_t signs_operand(const SignsOperand& task, cudaStream_t stream) {
  if (task.rows < 0 || task.low < 0 || !is_operand_stride(task.stride, task.low)) {
    return cudaErrorInvalidValue;
  }
  if (task.rows * task.stride == 0) return cudaSuccess;
  const int64_t across = packed::words_for(task.stride, columns_per_warp);
  const int64_t blocks = packed::words_for(task.rows * across, warps);
  if (blocks > INT32_MAX || task.stride > INT32_MAX) return cudaErrorInvalidValue;
  return with_element(task.element, [&](auto zero) {
    return launch(signs_operand_kernel<decltype(zero)>,
                  {{static_cast<unsigned>(blocks)}, {threads}}, stream, task, across);
  });
}

cudaError_t codes_operand(const CodesOperand& task, cudaStream_t stream) {
  if (task.rows < 0 || task.salient < 0 || !is_operand_stride(task.stride, task.salient)) {
    return cudaErrorInvalidValue;
  }
  if (task.rows * task.stride == 0) return cudaSuccess;
  const int64_t blocks = packed::words_for(task.rows, warps);
  if (blocks > INT32_MAX || task.stride > INT32_MAX) return cudaErrorInvalidValue;
  return with_element(task.element, [&](auto zero) {
    return launch(codes_operand_kernel<decltype(zero)>,
                  {{static_cast<unsigned>(blocks)}, {threads}}, stream, task);
  });
}

}  // namespace bitmill::kernels
