#include "kernels/rotary.hpp"

#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tile: a token, with all its heads. Bound by memory: x is read once and y written once; the
// token's angles are read once, into shared memory.
constexpr int threads = 256;

template <int width>
__device__ void load_angles(const float* from, int64_t count, bool negative, float* to) {
  for (int64_t j = int64_t{threadIdx.x} * width; j < count; j += threads * width) {
    float angles[width];
    load(from + j, angles);
    for (int i = 0; i < width; ++i) angles[i] = negative ? -angles[i] : angles[i];
    store(to + j, angles);
  }
}

template <typename T, int width>
__global__ void __launch_bounds__(threads) rotate_kernel(Rotate task) {
  BITMILL_DYNAMIC_SHARED(float, cosine);
  const int half = static_cast<int>(task.head_dim / 2), accesses_per_head = half / width;
  float* const sine = cosine + half;
  const int64_t token = blockIdx.x;
  load_angles<width>(task.cosine + token * task.head_dim, half, false, cosine);
  load_angles<width>(task.sine + token * task.head_dim, half, task.back, sine);
  __syncthreads();
  const int accesses = static_cast<int>(task.heads) * accesses_per_head;
  for (int access = threadIdx.x; access < accesses; access += threads) {
    const int head = access / accesses_per_head, i = access % accesses_per_head * width;
    const int64_t first = (token * task.heads + head) * task.head_dim + i;
    float a[width], b[width], c[width], s[width];
    load(static_cast<const T*>(task.x) + first, a);
    load(static_cast<const T*>(task.x) + first + half, b);
    load(cosine + i, c);
    load(sine + i, s);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      const float turned = a[j] * c[j] - b[j] * s[j];
      b[j] = b[j] * c[j] + a[j] * s[j];
      a[j] = turned;
    }
    store(static_cast<T*>(task.y) + first, a);
    store(static_cast<T*>(task.y) + first + half, b);
  }
}

}  // namespace

cudaError_t rotate(const Rotate& task, cudaStream_t stream) {
  const bool possible = task.tokens >= 0 && task.tokens <= INT32_MAX && task.heads >= 0 &&
                        task.heads <= most_rotary_heads && task.head_dim >= 0 &&
                        task.head_dim % 2 == 0 && task.head_dim <= largest_rotary_head;
  if (!possible) return cudaErrorInvalidValue;
  if (task.tokens == 0 || task.heads == 0 || task.head_dim == 0) return cudaSuccess;
  const LaunchShape shape{{static_cast<unsigned>(task.tokens)},
                          {threads},
                          static_cast<size_t>(task.head_dim) * sizeof(float)};
  return with_element_and_width(task.element, task.head_dim / 2, [&](auto zero, auto width) {
    return launch(rotate_kernel<decltype(zero), width.value>, shape, stream, task);
  });
}

}  // namespace bitmill::kernels
