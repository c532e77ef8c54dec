#include "kernels/row_values.hpp"

#include <limits>

#include "format/packed_layout.hpp"
#include "kernels/simt.hpp"
#include "method/grid_element.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 64 rows, 64 columns at a time by way of shared memory, so that memory is read along rows
// while a thread goes through its own row. Bound by reading the weight, twice: deviations need the
// mean, and the error of a clipped range needs the range. It runs once per linear.
constexpr int rows_per_tile = 64;
constexpr int threads = rows_per_tile;
constexpr int columns_per_tile = 64;
constexpr int words_per_tile = columns_per_tile / packed::bits_per_word;

struct Tile {
  // One more, so that a column lies in 32 different banks.
  float (&weight)[rows_per_tile][columns_per_tile + 1];
  float (&importance)[columns_per_tile];
  uint32_t (&mask)[words_per_tile];
};

// With barriers, for all threads.
__device__ void load_tile(const RowValues& task, int64_t first_row, int64_t first_column,
                          bool with_importance, const Tile& tile) {
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t column = first_column + thread;
  // A thread without a column reads that of its neighbour.
  const int64_t read = column < task.cols ? column : task.cols - 1;
  __syncthreads();  // the last tile was used
  for (int row = 0; row < rows_per_tile && first_row + row < task.rows; ++row) {
    tile.weight[row][thread] = task.weight[(first_row + row) * task.cols + read];
  }
  if (with_importance) tile.importance[thread] = task.importance[read];
  const int64_t word = first_column / packed::bits_per_word + thread;
  if (thread < words_per_tile && word * packed::bits_per_word < task.cols) {
    tile.mask[thread] = task.mask[word];
  }
  __syncthreads();
}

// visit(value, is salient, place in the tile) for each column of the thread's row, in order.
template <typename Visit>
__device__ void for_columns(const RowValues& task, bool with_importance, const Tile& tile,
                            Visit visit) {
  const int64_t first_row = int64_t{blockIdx.x} * rows_per_tile;
  const bool has_row = first_row + threadIdx.x < task.rows;
  for (int64_t first = 0; first < task.cols; first += columns_per_tile) {
    load_tile(task, first_row, first, with_importance, tile);
    const int64_t left = task.cols - first;
    const int count = left < columns_per_tile ? static_cast<int>(left) : columns_per_tile;
    for (int i = 0; has_row && i < count; ++i) {
      visit(tile.weight[threadIdx.x][i], packed::get_bit(tile.mask, i) != 0, i);
    }
  }
}

struct RowSums {
  double sum = 0, sum_abs = 0, deviation = 0;
  int count = 0;
  float least = std::numeric_limits<float>::infinity();
  float greatest = -std::numeric_limits<float>::infinity();

  __device__ float mean_of(double total) const {
    return count > 0 ? static_cast<float>(total / static_cast<double>(count)) : 0.0F;
  }
};

// The grid of each clipped range, and its error so far.
struct Clipping {
  CodeGrid grids[clip_factors];
  double errors[clip_factors];

  __device__ Clipping(float least, float greatest) {
#pragma unroll
    for (int i = 0; i < clip_factors; ++i) {
      grids[i] = make_code_grid(least * clip_factor(i), greatest * clip_factor(i));
      errors[i] = 0;
    }
  }
  __device__ void add(float value, float importance) {
#pragma unroll
    for (int i = 0; i < clip_factors; ++i) errors[i] += clip_error(value, importance, grids[i]);
  }
  __device__ CodeGrid best() const {
    CodeGrid grid;
    double least = std::numeric_limits<double>::infinity();
#pragma unroll
    for (int i = 0; i < clip_factors; ++i) {
      if (errors[i] >= least) continue;
      least = errors[i];
      grid = grids[i];
    }
    return grid;
  }
};

// The thread's row, where it has one.
__device__ void write_row(const RowValues& task, const RowSums& sums, const CodeGrid& grid) {
  const int64_t row = int64_t{blockIdx.x} * rows_per_tile + threadIdx.x;
  if (row >= task.rows) return;
  task.mean[row] = sums.mean_of(sums.sum);
  task.mean_abs[row] = sums.mean_of(sums.sum_abs);
  task.mean_deviation[row] = sums.mean_of(sums.deviation);
  task.code_scale[row] = grid.scale;
  task.code_zero[row] = grid.zero;
}

template <bool clips>
__global__ void __launch_bounds__(threads) row_values_kernel(RowValues task) {
  BITMILL_SHARED(float, weight, [rows_per_tile][columns_per_tile + 1]);
  BITMILL_SHARED(float, importance, [columns_per_tile]);
  BITMILL_SHARED(uint32_t, mask, [words_per_tile]);
  const Tile tile{weight, importance, mask};
  RowSums sums;
  for_columns(task, false, tile, [&](float value, bool salient, int) {
    if (salient || !task.salient_range) {
      sums.least = value < sums.least ? value : sums.least;
      sums.greatest = value > sums.greatest ? value : sums.greatest;
    }
    if (salient || value == 0) return;
    sums.sum += value;
    sums.sum_abs += value < 0 ? -double{value} : double{value};
    ++sums.count;
  });
  // A range without weights is that of a weight of 0.
  const bool has_range = sums.least <= sums.greatest;
  const float least = has_range ? sums.least : 0.0F, greatest = has_range ? sums.greatest : 0.0F;
  const float mean = sums.mean_of(sums.sum);
  Clipping clipping(least, greatest);
  for_columns(task, clips, tile, [&](float value, bool salient, int place) {
    if (salient) {
      if (clips) clipping.add(value, importance[place]);
    } else if (value != 0) {
      const double off = double{value} - double{mean};
      sums.deviation += off < 0 ? -off : off;
    }
  });
  write_row(task, sums, clips && has_range ? clipping.best() : make_code_grid(least, greatest));
}

}  // namespace

cudaError_t row_values(const RowValues& task, cudaStream_t stream) {
  if (task.rows < 0 || task.cols < 0) return cudaErrorInvalidValue;
  if (task.rows == 0) return cudaSuccess;
  const int64_t blocks = packed::words_for(task.rows, rows_per_tile);
  if (blocks > INT32_MAX || task.cols > INT32_MAX - columns_per_tile) return cudaErrorInvalidValue;
  const auto kernel =
      task.importance != nullptr ? row_values_kernel<true> : row_values_kernel<false>;
  return launch(kernel, {{static_cast<unsigned>(blocks)}, {threads}}, stream, task);
}

}  // namespace bitmill::kernels
