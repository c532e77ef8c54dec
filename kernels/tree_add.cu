#include "kernels/tree_add.hpp"

#include "format/packed_layout.hpp"
#include "kernels/simt.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 1,024 elements. Bound by memory: it reads `count` vectors and writes one. A thread has four
// elements of each under way, neighbours being in neighbouring threads.
constexpr int threads = 256;
constexpr int ahead = 4;
constexpr int elements_per_block = threads * ahead;

template <int count>
__global__ void __launch_bounds__(threads) tree_add_kernel(TreeAdd task) {
  const int64_t begin = int64_t{blockIdx.x} * elements_per_block + threadIdx.x;
  float value[ahead][count];
#pragma unroll
  for (int i = 0; i < ahead; ++i) {
#pragma unroll
    for (int child = 0; child < count; ++child) {
      if (begin + i * threads < task.size) {
        value[i][child] = task.from[child][begin + i * threads];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < ahead; ++i) {
    if (begin + i * threads >= task.size) continue;
#pragma unroll
    for (int distance = 1; distance < count; distance *= 2) {
#pragma unroll
      for (int child = 0; child + distance < count; child += 2 * distance) {
        value[i][child] += value[i][child + distance];
      }
    }
    task.into[begin + i * threads] = value[i][0];
  }
}

template <int count>
cudaError_t launch_tree_add(const TreeAdd& task, unsigned blocks, cudaStream_t stream) {
  if constexpr (count > 2) {
    if (task.count < count) return launch_tree_add<count - 1>(task, blocks, stream);
  }
  return launch(tree_add_kernel<count>, {{blocks}, {threads}}, stream, task);
}

}  // namespace

cudaError_t tree_add(const TreeAdd& task, cudaStream_t stream) {
  if (task.count < 2 || task.count > most_tree_children || task.size < 0) {
    return cudaErrorInvalidValue;
  }
  if (task.size == 0) return cudaSuccess;
  const int64_t blocks = packed::words_for(task.size, elements_per_block);
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  return launch_tree_add<most_tree_children>(task, static_cast<unsigned>(blocks), stream);
}

}  // namespace bitmill::kernels
