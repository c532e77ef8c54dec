#include "kernels/sample_loss.hpp"

#include <cmath>

#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tiles: the two passes over memory have a block per token, and are bound by memory: the first
// reads the student and its targets, the second reads them again and writes the gradient. What lies
// between is one block, for a few numbers of each token.
constexpr int warps = 8;
constexpr int threads = warps * 32;

// method/loss.cpp.
constexpr double smallest_norm = 1e-8;
constexpr double smallest_square = 1e-6;

// Where the sums of a token are in its row of token_sums. Those of the homologous target are 3
// behind those of the normal one.
constexpr int sums_per_token = 8;
constexpr int student_square = 0, product = 1, target_square = 2, difference_square = 3;
constexpr int used_sums = 7;
constexpr int coefficients_per_token = 4;

template <typename Student, typename Target, int width>
__global__ void __launch_bounds__(threads) token_sums_kernel(SampleLoss task) {
  BITMILL_SHARED(float, warp_sums, [used_sums][warps + 1]);  // seven rows in seven banks
  const int thread = threadIdx.x;
  const int64_t first = int64_t{blockIdx.x} * task.hidden;
  const auto* const student = static_cast<const Student*>(task.student) + first;
  const void* const targets[] = {task.normal, task.homologous};
  float sums[used_sums] = {};
  for (int64_t j = int64_t{thread} * width; j < task.hidden; j += threads * width) {
    float y[width];
    load(student + j, y);
#pragma unroll
    for (int i = 0; i < width; ++i) sums[student_square] += y[i] * y[i];
#pragma unroll
    for (int which = 0; which < 2; ++which) {
      if (targets[which] == nullptr) continue;
      float target[width];
      load(static_cast<const Target*>(targets[which]) + first + j, target);
#pragma unroll
      for (int i = 0; i < width; ++i) {
        const float difference = y[i] - target[i];
        sums[3 * which + product] += y[i] * target[i];
        sums[3 * which + target_square] += target[i] * target[i];
        sums[3 * which + difference_square] += difference * difference;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < used_sums; ++i) {
    const float sum = warp_sum(sums[i]);
    if (thread % 32 == 0) warp_sums[i][thread / 32] = sum;
  }
  __syncthreads();
  if (thread >= used_sums) return;
  float sum = 0;
  for (int warp = 0; warp < warps; ++warp) sum += warp_sums[thread][warp];
  task.token_sums[blockIdx.x * sums_per_token + thread] = sum;
}

// One target and one token. Norms are at least smallest_norm, as in the cosine.
struct TokenTerms {
  double student_norm, target_norm, cosine;
  double true_student_norm;
  double error;  // of the sum over tokens
  double slope;  // d error / d (y - target) = slope * (y - target)
};

__device__ TokenTerms token_terms(const SampleLoss& task, const float* sums, int which) {
  const double square = sums[student_square], tokens = static_cast<double>(task.tokens);
  const double hidden = static_cast<double>(task.hidden);
  TokenTerms terms;
  terms.true_student_norm = std::sqrt(square);
  terms.student_norm = std::fmax(terms.true_student_norm, smallest_norm);
  terms.target_norm = std::fmax(std::sqrt(double{sums[3 * which + target_square]}), smallest_norm);
  terms.cosine = double{sums[3 * which + product]} / (terms.student_norm * terms.target_norm);
  const double size =
      task.relative ? double{sums[3 * which + target_square]} / hidden + smallest_square : 1.0;
  terms.error = double{sums[3 * which + difference_square]} / (hidden * size * tokens);
  terms.slope = 2 / (hidden * size * tokens);
  return terms;
}

// Adds up `mine` of all threads, in a fixed order. With barriers.
__device__ double block_sum(double mine, double (&place)[threads]) {
  __syncthreads();
  place[threadIdx.x] = mine;
  __syncthreads();
  for (int half = threads / 2; half > 0; half /= 2) {
    const int thread = threadIdx.x;
    if (thread < half) place[thread] += place[thread + half];
    __syncthreads();
  }
  return place[0];
}

// -log|C| has the gradient -1 / (C tokens) of each token's cosine, which has
//   target / (|y| |target|) - cosine y / |y|^2 = p (target - y) + (p + q) y,
// p = 1 / (|y| |target|), q = -cosine / |y|^2. The difference target - y is small at the end of
// training, and so is p + q, which is made in float64.
__global__ void __launch_bounds__(threads) coefficients_kernel(SampleLoss task) {
  BITMILL_SHARED(double, place, [threads]);
  const double tokens = static_cast<double>(task.tokens);
  const double weights[] = {task.normal_weight, task.homologous_weight};
  double factor[2] = {}, loss = 0;  // of each token's cosine gradient
#pragma unroll
  for (int which = 0; which < 2; ++which) {
    if (weights[which] == 0) continue;  // the same for all threads
    double cosine = 0, error = 0;
    for (int64_t t = threadIdx.x; t < task.tokens; t += threads) {
      const TokenTerms terms = token_terms(task, task.token_sums + t * sums_per_token, which);
      cosine += terms.cosine;
      error += terms.error;
    }
    const double mean_cosine = block_sum(cosine, place) / tokens;
    loss += weights[which] * (block_sum(error, place) - std::log(std::fabs(mean_cosine)));
    factor[which] = -weights[which] / (mean_cosine * tokens);
  }
  if (threadIdx.x == 0) *task.loss = static_cast<float>(loss);
  for (int64_t t = threadIdx.x; t < task.tokens; t += threads) {
    double k = 0, of_difference[2] = {};
#pragma unroll
    for (int which = 0; which < 2; ++which) {
      if (weights[which] == 0) continue;
      const TokenTerms terms = token_terms(task, task.token_sums + t * sums_per_token, which);
      const double p = 1 / (terms.student_norm * terms.target_norm);
      // The gradient of a norm of 0 is 0.
      const double q = terms.true_student_norm == 0
                           ? 0
                           : -terms.cosine / (terms.student_norm * terms.true_student_norm);
      k += factor[which] * (p + q);
      of_difference[which] = weights[which] * terms.slope - factor[which] * p;
    }
    const float row[coefficients_per_token] = {static_cast<float>(k),
                                               static_cast<float>(of_difference[0]),
                                               static_cast<float>(of_difference[1]), 0.0F};
    store(task.coefficients + t * coefficients_per_token, row);
  }
}

template <typename Student, typename Target, int width>
__global__ void __launch_bounds__(threads) gradient_kernel(SampleLoss task, void* gradient) {
  const int64_t first = int64_t{blockIdx.x} * task.hidden;
  float coefficients[coefficients_per_token];
  load(task.coefficients + int64_t{blockIdx.x} * coefficients_per_token, coefficients);
  const void* const targets[] = {task.normal, task.homologous};
  for (int64_t j = int64_t{threadIdx.x} * width; j < task.hidden; j += threads * width) {
    float y[width], out[width];
    load(static_cast<const Student*>(task.student) + first + j, y);
#pragma unroll
    for (int i = 0; i < width; ++i) out[i] = coefficients[0] * y[i];
#pragma unroll
    for (int which = 0; which < 2; ++which) {
      if (targets[which] == nullptr) continue;
      float target[width];
      load(static_cast<const Target*>(targets[which]) + first + j, target);
#pragma unroll
      for (int i = 0; i < width; ++i) out[i] += coefficients[1 + which] * (y[i] - target[i]);
    }
    store(static_cast<Student*>(gradient) + first + j, out);
  }
}

bool is_possible(const SampleLoss& task) {
  return task.tokens >= 1 && task.tokens <= INT32_MAX && task.hidden >= 1 &&
         (task.normal != nullptr || task.normal_weight == 0) &&
         (task.homologous != nullptr || task.homologous_weight == 0);
}

// A target of weight 0 is not read.
SampleLoss without_unused(SampleLoss task) {
  if (task.normal_weight == 0) task.normal = nullptr;
  if (task.homologous_weight == 0) task.homologous = nullptr;
  return task;
}

template <typename Run>
cudaError_t with_types(const SampleLoss& task, Run run) {
  return with_element_and_width(task.student_element, task.hidden, [&](auto student, auto width) {
    return with_element(task.target_element,
                        [&](auto target) { return run(student, target, width); });
  });
}

}  // namespace

cudaError_t sample_loss(const SampleLoss& task, cudaStream_t stream) {
  if (!is_possible(task)) return cudaErrorInvalidValue;
  const SampleLoss used = without_unused(task);
  const LaunchShape shape{{static_cast<unsigned>(task.tokens)}, {threads}};
  const cudaError_t error = with_types(used, [&](auto student, auto target, auto width) {
    return launch(token_sums_kernel<decltype(student), decltype(target), width.value>, shape,
                  stream, used);
  });
  if (error != cudaSuccess) return error;
  return launch(coefficients_kernel, {{1}, {threads}}, stream, used);
}

cudaError_t sample_loss_gradient(const SampleLoss& task, void* gradient, cudaStream_t stream) {
  if (!is_possible(task)) return cudaErrorInvalidValue;
  const SampleLoss used = without_unused(task);
  const LaunchShape shape{{static_cast<unsigned>(task.tokens)}, {threads}};
  return with_types(used, [&](auto student, auto target, auto width) {
    return launch(gradient_kernel<decltype(student), decltype(target), width.value>, shape, stream,
                  used, gradient);
  });
}

}  // namespace bitmill::kernels
