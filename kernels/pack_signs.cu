#include <algorithm>

#include "kernels/pack_signs.hpp"

namespace bitmill::kernels {
namespace {

// One thread packs one word, 1 row x 32 low columns. These columns are nearly adjacent in the row,
// so a thread reads about one 128-byte line of `weight`, and finds the rest of it in L1. Bound by
// reading `weight`: for every 8 weights 32 bytes are read and 1 byte is written.
constexpr int threads_per_block = 256;
constexpr int64_t most_blocks = 65536;  // the stride loop handles further words

__global__ void pack_signs_kernel(PackSigns task, int64_t words) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t index = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; index < words;
       index += stride) {
    task.words[index] = pack_signs_word(task, index);
  }
}

}  // namespace

cudaError_t pack_signs(const PackSigns& task, cudaStream_t stream) {
  if (task.rows < 0 || task.cols < 0 || task.low_cols < 0) return cudaErrorInvalidValue;
  const int64_t words = task.rows * packed::words_for(task.low_cols, packed::bits_per_word);
  if (words == 0) return cudaSuccess;  // CUDA refuses a grid without blocks
  const int64_t blocks = std::min((words + threads_per_block - 1) / threads_per_block, most_blocks);
  pack_signs_kernel<<<static_cast<unsigned>(blocks), threads_per_block, 0, stream>>>(task, words);
  return cudaGetLastError();
}

}  // namespace bitmill::kernels
