#include "kernels/rms_norm.hpp"

#include <cmath>

#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tile: a token. Bound by memory: what is read stays in shared memory, as float32, until the sum
// over the token is known, as far as there is room. The weight is read again for each token: on a
// GPU it is in the L2 cache, which gives more than memory does.
constexpr int warps = 8;
constexpr int threads = warps * 32;

__host__ __device__ int64_t kept_columns(int64_t hidden, int64_t most) {
  return hidden < most ? hidden : most;
}

// The sum over all threads, the same bits in each. With barriers.
__device__ float block_sum(float mine, float (&place)[warps]) {
  mine = warp_sum(mine);
  __syncthreads();
  if (threadIdx.x % 32 == 0) place[threadIdx.x / 32] = mine;
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < warps; ++warp) sum += place[warp];
  return sum;
}

template <int width>
__device__ void load_weight(const float* weight, int64_t j, float (&to)[width]) {
  if (weight != nullptr) {
    load(weight + j, to);
  } else {
    for (int i = 0; i < width; ++i) to[i] = 1;
  }
}

template <typename X, typename Y, int width>
__global__ void __launch_bounds__(threads) rms_norm_kernel(RmsNorm task) {
  BITMILL_DYNAMIC_SHARED(float, row);
  BITMILL_SHARED(float, place, [warps]);
  const int64_t begin = int64_t{threadIdx.x} * width, token = blockIdx.x;
  float sum = 0;
  for (int64_t j = begin; j < task.hidden; j += threads * width) {
    float x[width];
    load(static_cast<const X*>(task.x) + token * task.hidden + j, x);
    if (j < kept_rms_norm) store(row + j, x);  // read by this thread alone
    for (int i = 0; i < width; ++i) sum += x[i] * x[i];
  }
  const float mean = block_sum(sum, place) / static_cast<float>(task.hidden);
  const float inverse = 1.0F / std::sqrt(mean + task.epsilon);
  if (threadIdx.x == 0) task.inverse_rms[token] = inverse;
  for (int64_t j = begin; j < task.hidden; j += threads * width) {
    float x[width], weight[width];
    if (j < kept_rms_norm) {
      load(row + j, x);
    } else {
      load(static_cast<const X*>(task.x) + token * task.hidden + j, x);
    }
    load_weight(task.weight, j, weight);
    for (int i = 0; i < width; ++i) x[i] = (x[i] * inverse) * weight[i];
    store(static_cast<Y*>(task.y) + token * task.hidden + j, x);
  }
}

// x, and a = dy w.
template <typename X, typename Y, int width>
__device__ void load_x_and_a(const RmsNormGradient& task, int64_t token, int64_t j,
                             float (&x)[width], float (&a)[width]) {
  float weight[width];
  load(static_cast<const X*>(task.x) + token * task.hidden + j, x);
  load(static_cast<const Y*>(task.gradient) + token * task.hidden + j, a);
  load_weight(task.weight, j, weight);
  for (int i = 0; i < width; ++i) a[i] *= weight[i];
}

template <typename X, typename Y, int width>
__global__ void __launch_bounds__(threads) rms_norm_gradient_kernel(RmsNormGradient task) {
  BITMILL_DYNAMIC_SHARED(float, rows);  // of x, and of a
  BITMILL_SHARED(float, place, [warps]);
  const int64_t kept = kept_columns(task.hidden, kept_rms_norm / 2);
  float* const of_y = rows + kept;
  const int64_t begin = int64_t{threadIdx.x} * width, token = blockIdx.x;
  float sum = 0;
  for (int64_t j = begin; j < task.hidden; j += threads * width) {
    float x[width], a[width];
    load_x_and_a<X, Y>(task, token, j, x, a);
    for (int i = 0; i < width; ++i) sum += a[i] * x[i];
    if (j >= kept) continue;
    store(rows + j, x);  // read by this thread alone
    store(of_y + j, a);
  }
  const float inverse = task.inverse_rms[token];
  const float mean = block_sum(sum, place) / static_cast<float>(task.hidden);
  const float factor = inverse * inverse * mean;
  for (int64_t j = begin; j < task.hidden; j += threads * width) {
    float x[width], a[width];
    if (j < kept) {
      load(rows + j, x);
      load(of_y + j, a);
    } else {
      load_x_and_a<X, Y>(task, token, j, x, a);
    }
    for (int i = 0; i < width; ++i) x[i] = inverse * (a[i] - x[i] * factor);
    store(static_cast<X*>(task.of_x) + token * task.hidden + j, x);
  }
}

// Whether there is anything to do goes to `blocks`.
template <typename Task>
cudaError_t count_blocks(const Task& task, int64_t& blocks) {
  if (task.tokens < 0 || task.hidden < 0) return cudaErrorInvalidValue;
  blocks = task.hidden == 0 ? 0 : task.tokens;
  return blocks > INT32_MAX ? cudaErrorInvalidValue : cudaSuccess;
}

template <typename Task, typename Run>
cudaError_t with_types(const Task& task, Run run) {
  return with_element_and_width(task.x_element, task.hidden, [&](auto x, auto width) {
    return with_element(task.y_element, [&](auto y) { return run(x, y, width); });
  });
}

}  // namespace

cudaError_t rms_norm(const RmsNorm& task, cudaStream_t stream) {
  int64_t blocks = 0;
  const cudaError_t error = count_blocks(task, blocks);
  if (error != cudaSuccess || blocks == 0) return error;
  const auto bytes = static_cast<size_t>(kept_columns(task.hidden, kept_rms_norm)) * sizeof(float);
  const LaunchShape shape{{static_cast<unsigned>(blocks)}, {threads}, bytes};
  return with_types(task, [&](auto x, auto y, auto width) {
    return launch(rms_norm_kernel<decltype(x), decltype(y), width.value>, shape, stream, task);
  });
}

cudaError_t rms_norm_gradient(const RmsNormGradient& task, cudaStream_t stream) {
  int64_t blocks = 0;
  const cudaError_t error = count_blocks(task, blocks);
  if (error != cudaSuccess || blocks == 0) return error;
  const int64_t kept = 2 * kept_columns(task.hidden, kept_rms_norm / 2);
  const auto bytes = static_cast<size_t>(kept) * sizeof(float);
  const LaunchShape shape{{static_cast<unsigned>(blocks)}, {threads}, bytes};
  return with_types(task, [&](auto x, auto y, auto width) {
    return launch(rms_norm_gradient_kernel<decltype(x), decltype(y), width.value>, shape, stream,
                  task);
  });
}

}  // namespace bitmill::kernels
