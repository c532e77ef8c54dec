#include "kernels/adamw.hpp"

#include "kernels/simt.hpp"
#include "method/adamw_element.hpp"

namespace bitmill::kernels {
namespace {

// Tile: one piece. Bound by memory: 16 bytes read and 12 written for each element. A thread has
// four elements under way, neighbours being in neighbouring threads.
constexpr int threads = 256;
constexpr int ahead = 4;
constexpr int elements_per_round = threads * ahead;

__global__ void __launch_bounds__(threads) adamw_kernel(AdamWSlice task) {
  const AdamWPiece piece = task.pieces[blockIdx.x];
  const AdamWStep step{task.units, static_cast<float>(piece.rate * task.factor / task.correction1),
                       task.root_correction2};
  const int thread = threadIdx.x;
  for (int begin = 0; begin < piece.count; begin += elements_per_round) {
    float sum[ahead], first[ahead], second[ahead], value[ahead];
#pragma unroll
    for (int i = 0; i < ahead; ++i) {
      const int inside = begin + i * threads + thread;
      if (inside >= piece.count) continue;
      sum[i] = task.sum[piece.begin + inside];
      first[i] = task.first[piece.begin + inside];
      second[i] = task.second[piece.begin + inside];
      value[i] = task.value[piece.begin + inside];
    }
#pragma unroll
    for (int i = 0; i < ahead; ++i) {
      const int inside = begin + i * threads + thread;
      if (inside >= piece.count) continue;
      const bool passes = piece.window == 0 || std::abs(value[i]) < piece.window;
      adamw_element(step, passes ? sum[i] : 0.0F, first[i], second[i], value[i]);
      task.first[piece.begin + inside] = first[i];
      task.second[piece.begin + inside] = second[i];
      task.value[piece.begin + inside] = value[i];
    }
  }
}

}  // namespace

cudaError_t adamw(const AdamWSlice& task, cudaStream_t stream) {
  if (task.piece_count < 0 || task.piece_count > INT32_MAX) return cudaErrorInvalidValue;
  if (task.piece_count == 0) return cudaSuccess;
  return launch(adamw_kernel, {{static_cast<unsigned>(task.piece_count)}, {threads}}, stream, task);
}

}  // namespace bitmill::kernels
