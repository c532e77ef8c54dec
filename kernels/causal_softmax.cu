#include "kernels/causal_softmax.hpp"

#include <cmath>

#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tile: a row. Bound by memory: the scores that are seen are read once, and kept in shared memory
// until the row's largest score and its sums are known. Every thread reads there what it has
// written itself.
constexpr int threads = 128;
constexpr int warps = threads / 32;
constexpr int width = 4;
constexpr int64_t step = threads * width;  // keys of a block's access
static_assert(kept_scores / 2 % step == 0);

// Of some of a row's keys: the largest x, and sums relative to it.
struct RowSums {
  float largest = -INFINITY;
  float sum = 0;      // of exp(x - largest)
  float product = 0;  // of exp(x - largest) dP
};

// Four keys more. The sums are made smaller where a larger x comes, which is seldom.
template <bool with_product>
__device__ void add_keys(const float (&x)[width], const float (&of_p)[width], RowSums& sums) {
  const float largest = fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3]));
  if (largest > sums.largest) {
    const float factor = std::exp(sums.largest - largest);
    sums = {largest, sums.sum * factor, sums.product * factor};
  }
  for (int i = 0; i < width; ++i) {
    const float part = std::exp(x[i] - sums.largest);
    sums.sum += part;
    if constexpr (with_product) sums.product += part * of_p[i];
  }
}

// The sum over all threads, the same bits in each. `place` is this call's alone. With a barrier.
__device__ float block_sum(float mine, float (&place)[warps]) {
  mine = warp_sum(mine);
  if (threadIdx.x % 32 == 0) place[threadIdx.x / 32] = mine;
  __syncthreads();
  return (place[0] + place[1]) + (place[2] + place[3]);
}
__device__ float block_max(float mine, float (&place)[warps]) {
  for (int distance = 16; distance > 0; distance /= 2) {
    mine = fmaxf(mine, __shfl_xor_sync(~0U, mine, distance));
  }
  if (threadIdx.x % 32 == 0) place[threadIdx.x / 32] = mine;
  __syncthreads();
  return fmaxf(fmaxf(place[0], place[1]), fmaxf(place[2], place[3]));
}

// Floats of shared memory for scores of a row, where at most `limit` are kept.
__host__ __device__ int64_t most_kept(const ScoreRows& shape, int64_t limit) {
  const int64_t accessed = (shape.keys + width - 1) / width * width;
  return accessed < limit ? accessed : limit;
}

// The row of this block.
struct Row {
  int64_t begin;       // in float32
  int64_t seen, keys;  // those that are read, those that are written

  __device__ explicit Row(const ScoreRows& shape)
      : begin(int64_t{blockIdx.x} * shape.row_floats), keys(shape.keys) {
    seen = shape.first + int64_t{blockIdx.x} / shape.group + 1;
    if (seen > keys) seen = keys;
  }
};

// Four scores of a row, -inf where they are not seen.
__device__ void load_scores(const float* row, int64_t j, int64_t seen, float scale,
                            float (&x)[width]) {
  load(row + j, x);
  for (int i = 0; i < width; ++i) x[i] = j + i < seen ? x[i] * scale : -INFINITY;
}
// Four gradients of a row, 0 where they are not seen.
__device__ void load_gradients(const float* row, int64_t j, int64_t seen, float (&of_p)[width]) {
  load(row + j, of_p);
  for (int i = 0; i < width; ++i) of_p[i] = j + i < seen ? of_p[i] : 0.0F;
}

// read(j, whether it is kept), then write(j), for every access of this thread. An element row
// begins where the row of float32 does. So what is beyond the kept keys is read by all threads
// before any of them writes: an access writes nothing behind what has been read by then.
template <typename Read, typename Write>
__device__ void write_row(const Row& row, int64_t kept_keys, const Read& read, const Write& write) {
  for (int64_t base = 0; base < row.keys; base += step) {
    const int64_t j = base + int64_t{threadIdx.x} * width;
    if (j < row.seen) read(j, j < kept_keys);
    if (base >= kept_keys) __syncthreads();  // the same for all threads
    if (j < row.keys) write(j);
  }
}

template <typename T>
__global__ void __launch_bounds__(threads) causal_softmax_kernel(CausalSoftmax task) {
  BITMILL_DYNAMIC_SHARED(float, kept);
  BITMILL_SHARED(float, places, [2][warps]);
  const Row row(task.shape);
  const float* const scores = task.scores + row.begin;
  RowSums mine;
  for (int64_t j = int64_t{threadIdx.x} * width; j < row.seen; j += step) {
    float x[width];
    load_scores(scores, j, row.seen, task.scale, x);
    if (j < kept_scores) store(kept + j, x);
    add_keys<false>(x, x, mine);
  }
  const float largest = block_max(mine.largest, places[0]);
  const float inverse = 1.0F / block_sum(mine.sum * std::exp(mine.largest - largest), places[1]);
  float x[width];
  write_row(
      row, kept_scores,
      [&](int64_t j, bool is_kept) {
        if (is_kept) {
          load(kept + j, x);
        } else {
          load_scores(scores, j, row.seen, task.scale, x);
        }
      },
      [&](int64_t j) {
        float p[width] = {};
        if (j < row.seen) {
          for (int i = 0; i < width; ++i) p[i] = std::exp(x[i] - largest) * inverse;
        }
        store(reinterpret_cast<T*>(task.scores + row.begin) + j, p);
      });
}

template <typename T>
__global__ void __launch_bounds__(threads)
    causal_softmax_gradient_kernel(CausalSoftmaxGradient task) {
  BITMILL_DYNAMIC_SHARED(float, kept);
  BITMILL_SHARED(float, places, [3][warps]);
  constexpr int64_t kept_keys = kept_scores / 2;
  float* const kept_gradients = kept + most_kept(task.shape, kept_keys);
  const Row row(task.shape);
  const float* const scores = task.scores + row.begin;
  const float* const gradients = task.gradient + row.begin;
  RowSums mine;
  for (int64_t j = int64_t{threadIdx.x} * width; j < row.seen; j += step) {
    float x[width], of_p[width];
    load_scores(scores, j, row.seen, task.scale, x);
    load_gradients(gradients, j, row.seen, of_p);
    if (j < kept_keys) {
      store(kept + j, x);
      store(kept_gradients + j, of_p);
    }
    add_keys<true>(x, of_p, mine);
  }
  const float largest = block_max(mine.largest, places[0]);
  const float factor = std::exp(mine.largest - largest);
  const float inverse = 1.0F / block_sum(mine.sum * factor, places[1]);
  const float mean = block_sum(mine.product * factor, places[2]) * inverse;
  float x[width], of_p[width];
  write_row(
      row, kept_keys,
      [&](int64_t j, bool is_kept) {
        if (is_kept) {
          load(kept + j, x);
          load(kept_gradients + j, of_p);
        } else {
          load_scores(scores, j, row.seen, task.scale, x);
          load_gradients(gradients, j, row.seen, of_p);
        }
      },
      [&](int64_t j) {
        float p[width] = {}, of_score[width] = {};
        if (j < row.seen) {
          for (int i = 0; i < width; ++i) {
            p[i] = std::exp(x[i] - largest) * inverse;
            of_score[i] = j + i < row.seen ? task.scale * (p[i] * (of_p[i] - mean)) : 0.0F;
          }
        }
        store(reinterpret_cast<T*>(task.scores + row.begin) + j, p);
        store(reinterpret_cast<T*>(task.gradient + row.begin) + j, of_score);
      });
}

bool is_possible(const ScoreRows& shape) {
  return shape.rows >= 0 && shape.rows <= INT32_MAX && shape.keys >= 0 &&
         shape.row_floats >= shape.keys && shape.row_floats % width == 0 && shape.group >= 1 &&
         shape.first >= 0;
}

// A block for each row.
LaunchShape launch_shape(const ScoreRows& shape, int64_t kept_floats) {
  return {{static_cast<unsigned>(shape.rows)},
          {threads},
          static_cast<size_t>(kept_floats) * sizeof(float)};
}

}  // namespace

cudaError_t causal_softmax(const CausalSoftmax& task, cudaStream_t stream) {
  if (!is_possible(task.shape)) return cudaErrorInvalidValue;
  if (task.shape.rows == 0 || task.shape.keys == 0) return cudaSuccess;
  const LaunchShape shape = launch_shape(task.shape, most_kept(task.shape, kept_scores));
  return with_element(task.element, [&](auto zero) {
    return launch(causal_softmax_kernel<decltype(zero)>, shape, stream, task);
  });
}

cudaError_t causal_softmax_gradient(const CausalSoftmaxGradient& task, cudaStream_t stream) {
  if (!is_possible(task.shape)) return cudaErrorInvalidValue;
  if (task.shape.rows == 0 || task.shape.keys == 0) return cudaSuccess;
  const LaunchShape shape = launch_shape(task.shape, 2 * most_kept(task.shape, kept_scores / 2));
  return with_element(task.element, [&](auto zero) {
    return launch(causal_softmax_gradient_kernel<decltype(zero)>, shape, stream, task);
  });
}

}  // namespace bitmill::kernels
