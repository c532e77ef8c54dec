#include "kernels/row_gradients.hpp"

#include "kernels/table_column.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 128 rows of the weight, one per thread. Bound by reading the tables.
constexpr int threads = 128;

__global__ void __launch_bounds__(threads) row_gradients_kernel(RowGradients task) {
  const int64_t row = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (row >= task.rows) return;
  const float scale = column_sum(task.scale_sum, task.tiles, task.rows, row);
  const float mean = column_sum(task.mean_sum, task.tiles, task.rows, row);
  const float gain = task.row_gain[row];
  task.of_row_scale[row] = gain * scale;
  task.of_row_gain[row] = task.row_scale[row] * scale + task.row_mean[row] * mean;
  if (task.of_row_mean != nullptr) task.of_row_mean[row] = gain * mean;
  if (task.of_code_scale != nullptr) {
    task.of_code_scale[row] = column_sum(task.code_scale_sum, task.tiles, task.rows, row);
  }
}

}  // namespace

cudaError_t row_gradients(const RowGradients& task, cudaStream_t stream) {
  const bool half_given =
      task.tiles > 0 && (task.code_scale_sum == nullptr) != (task.of_code_scale == nullptr);
  if (task.tiles < 0 || task.rows < 0 || half_given) return cudaErrorInvalidValue;
  if (task.rows == 0) return cudaSuccess;
  const int64_t blocks = packed::words_for(task.rows, threads);
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  return launch(row_gradients_kernel, {{static_cast<unsigned>(blocks)}, {threads}}, stream, task);
}

}  // namespace bitmill::kernels
