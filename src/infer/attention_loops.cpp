#include "infer/attention_loops.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

// The same loops, compiled for vectors of 16, 8 and 4 floats. Results are equal, because every lane
// does the same operations in the same order. Not under sanitizers, whose code the resolver of
// such functions would run before the sanitizer is ready.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define BITMILL_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define BITMILL_VECTOR_CLONES
#endif

namespace bitmill::attention_loops {
namespace {

constexpr int64_t lanes = 16;

// scores[i] = scale * query . key i
BITMILL_VECTOR_CLONES
void score(const Attend& in, const float* query, float* scores) {
  const int64_t whole = in.head_dim / lanes * lanes;
  int64_t slot = in.first % in.slots;
  for (int64_t i = 0; i < in.count; ++i) {
    const float* key = in.keys + slot * in.head_dim;
    std::array<float, lanes> sums = {};
    for (int64_t d = 0; d < whole; d += lanes) {
      for (int64_t lane = 0; lane < lanes; ++lane) sums[lane] += query[d + lane] * key[d + lane];
    }
    for (int64_t d = whole; d < in.head_dim; ++d) sums[d - whole] += query[d] * key[d];
    for (int64_t half = lanes / 2; half > 0; half /= 2) {
      for (int64_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
    }
    scores[i] = in.scale * sums[0];
    if (++slot == in.slots) slot = 0;
  }
}

// Scores become exp(score - largest); returns their sum.
float exponentials(int64_t count, float* scores) {
  const float largest = *std::max_element(scores, scores + count);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    scores[i] = std::exp(scores[i] - largest);
    sum += double{scores[i]};
  }
  return static_cast<float>(sum);
}

// out = sum over i of weights[i] * value i, over `sum`
BITMILL_VECTOR_CLONES
void mix(const Attend& in, const float* weights, float sum, float* out) {
  std::fill_n(out, in.head_dim, 0.0F);
  int64_t slot = in.first % in.slots;
  for (int64_t i = 0; i < in.count; ++i) {
    const float* value = in.values + slot * in.head_dim;
    for (int64_t d = 0; d < in.head_dim; ++d) out[d] += weights[i] * value[d];
    if (++slot == in.slots) slot = 0;
  }
  for (int64_t d = 0; d < in.head_dim; ++d) out[d] /= sum;
}

}  // namespace

void attend(const Attend& in, float* out) {
  std::vector<float> scores(static_cast<size_t>(in.count));
  for (int64_t head = 0; head < in.heads; ++head) {
    score(in, in.query + head * in.head_dim, scores.data());
    const float sum = exponentials(in.count, scores.data());
    mix(in, scores.data(), sum, out + head * in.head_dim);
  }
}

}  // namespace bitmill::attention_loops
