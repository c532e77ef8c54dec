#include "kernels/add_table.hpp"

#include "kernels/table_column.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 128 columns of one table, a column per thread. Bound by reading the tables.
constexpr int threads = 128;

__global__ void __launch_bounds__(threads) add_tables_kernel(AddTables task) {
  int64_t block = blockIdx.x;
  int which = 0;
  while (block >= packed::words_for(task.tables[which].columns, threads)) {
    block -= packed::words_for(task.tables[which].columns, threads);
    ++which;
  }
  const Table table = task.tables[which];
  const int64_t column = block * threads + threadIdx.x;
  if (column >= table.columns) return;
  table.sum[column] = column_sum(table.rows, table.tiles, table.columns, column);
}

}  // namespace

cudaError_t add_tables(const AddTables& task, cudaStream_t stream) {
  if (task.count < 0 || task.count > most_tables) return cudaErrorInvalidValue;
  int64_t blocks = 0;
  for (int i = 0; i < task.count; ++i) {
    if (task.tables[i].tiles < 0 || task.tables[i].columns < 0) return cudaErrorInvalidValue;
    blocks += packed::words_for(task.tables[i].columns, threads);
  }
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  return launch(add_tables_kernel, {{static_cast<unsigned>(blocks)}, {threads}}, stream, task);
}

}  // namespace bitmill::kernels
