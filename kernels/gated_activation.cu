#include "kernels/gated_activation.hpp"

#include <cmath>

#include "format/packed_layout.hpp"
#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 256 threads with two accesses of four elements each (of one, where count % 4 != 0). Bound
// by memory: forward reads two arrays and writes one, backward reads three and writes two.
constexpr int threads = 256;
constexpr int accesses = 2;

struct ValueAndSlope {
  float value, slope;
};

__device__ ValueAndSlope silu(float x) {
  const float part = 1.0F / (1.0F + std::exp(-x));
  return {x * part, part * (1.0F + x * (1.0F - part))};
}
__device__ ValueAndSlope relu(float x) { return {x < 0 ? 0.0F : x, x > 0 ? 1.0F : 0.0F}; }
__device__ ValueAndSlope gelu(float x) {
  constexpr float root_half = 0.70710678F, density_of_0 = 0.39894228F;  // 1 / sqrt(2 pi)
  const float part = 0.5F * (1.0F + std::erf(x * root_half));
  return {x * part, part + x * density_of_0 * std::exp(-0.5F * x * x)};
}
__device__ ValueAndSlope gelu_tanh(float x) {
  constexpr float root = 0.79788456F, cubic = 0.044715F;  // sqrt(2 / pi)
  const float tanh = std::tanh(root * (x + cubic * x * x * x));
  const float part = 0.5F * (1.0F + tanh);
  return {x * part, part + 0.5F * x * (1.0F - tanh * tanh) * root * (1.0F + 3.0F * cubic * x * x)};
}

__device__ ValueAndSlope activate(Activation activation, float x) {
  if (activation == Activation::silu) return silu(x);
  if (activation == Activation::relu) return relu(x);
  return activation == Activation::gelu ? gelu(x) : gelu_tanh(x);
}

// work(place) for each access of this thread.
template <int width, typename Work>
__device__ void for_accesses(int64_t count, const Work& work) {
#pragma unroll
  for (int i = 0; i < accesses; ++i) {
    const int64_t place = ((int64_t{blockIdx.x} * accesses + i) * threads + threadIdx.x) * width;
    if (place < count) work(place);
  }
}

template <typename T, int width>
__global__ void __launch_bounds__(threads) gated_activation_kernel(GatedActivation task) {
  for_accesses<width>(task.count, [&](int64_t place) {
    float gate[width], up[width], out[width];
    load(static_cast<const T*>(task.gate) + place, gate);
    if (task.up != nullptr) load(static_cast<const T*>(task.up) + place, up);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const float value = activate(task.activation, gate[i]).value;
      out[i] = task.up != nullptr ? value * up[i] : value;
    }
    store(static_cast<T*>(task.out) + place, out);
  });
}

template <typename T, int width>
__global__ void __launch_bounds__(threads)
    gated_activation_gradient_kernel(GatedActivationGradient task) {
  for_accesses<width>(task.count, [&](int64_t place) {
    float gate[width], up[width], gradient[width], of_gate[width], of_up[width];
    load(static_cast<const T*>(task.gate) + place, gate);
    load(static_cast<const T*>(task.gradient) + place, gradient);
    if (task.up != nullptr) load(static_cast<const T*>(task.up) + place, up);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const ValueAndSlope at = activate(task.activation, gate[i]);
      of_gate[i] = (task.up != nullptr ? gradient[i] * up[i] : gradient[i]) * at.slope;
      of_up[i] = gradient[i] * at.value;
    }
    store(static_cast<T*>(task.of_gate) + place, of_gate);
    if (task.up != nullptr) store(static_cast<T*>(task.of_up) + place, of_up);
  });
}

int64_t blocks_for(int64_t count, int width) {
  return packed::words_for(count, int64_t{threads} * accesses * width);
}

}  // namespace

cudaError_t gated_activation(const GatedActivation& task, cudaStream_t stream) {
  if (task.count < 0) return cudaErrorInvalidValue;
  if (task.count == 0) return cudaSuccess;
  return with_element_and_width(task.element, task.count, [&](auto zero, auto width) {
    const int64_t blocks = blocks_for(task.count, width.value);
    if (blocks > INT32_MAX) return cudaErrorInvalidValue;
    return launch(gated_activation_kernel<decltype(zero), width.value>,
                  {{static_cast<unsigned>(blocks)}, {threads}}, stream, task);
  });
}

cudaError_t gated_activation_gradient(const GatedActivationGradient& task, cudaStream_t stream) {
  if (task.count < 0 || (task.up == nullptr) != (task.of_up == nullptr)) {
    return cudaErrorInvalidValue;
  }
  if (task.count == 0) return cudaSuccess;
  return with_element_and_width(task.element, task.count, [&](auto zero, auto width) {
    const int64_t blocks = blocks_for(task.count, width.value);
    if (blocks > INT32_MAX) return cudaErrorInvalidValue;
    return launch(gated_activation_gradient_kernel<decltype(zero), width.value>,
                  {{static_cast<unsigned>(blocks)}, {threads}}, stream, task);
  });
}

}  // namespace bitmill::kernels
