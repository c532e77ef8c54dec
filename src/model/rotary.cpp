#include "model/rotary.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "model/device_rotary.hpp"
#include "model/family.hpp"

namespace bitmill {
namespace {

// Long wavelengths are stretched, short ones kept, and those between go smoothly from one to the
// other. The float32 steps are in the same order as in transformers.
float scale_llama3(float frequency, const RopeConfig& rope) {
  const auto factor = static_cast<float>(rope.factor);
  const double context = static_cast<double>(rope.original_context);
  const float wavelength = 2 * std::numbers::pi_v<float> / frequency;
  if (wavelength < static_cast<float>(context / rope.high_freq_factor)) return frequency;
  if (wavelength > static_cast<float>(context / rope.low_freq_factor)) return frequency / factor;
  const float kept =
      (static_cast<float>(context) / wavelength - static_cast<float>(rope.low_freq_factor)) /
      static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  return (1 - kept) * frequency / factor + kept * frequency;
}

// Radians from one position to the next, of pair i of a head.
float frequency_of(const ModelConfig& config, int64_t i) {
  // float32 steps, as in the libraries that models are trained with.
  const auto exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
  const float plain = 1.0F / std::pow(static_cast<float>(config.rope.theta), exponent);
  switch (config.rope.scaling) {
    case RopeScaling::none:
      return plain;
    case RopeScaling::linear:
      return plain / static_cast<float>(config.rope.factor);
    case RopeScaling::llama3:
      return scale_llama3(plain, config.rope);
  }
  return plain;
}

}  // namespace

Rotary make_rotary(const ModelConfig& config, int64_t seq_len) {
  if (config.family->positions != Positions::rotary) return {};
  const int64_t half = config.head_dim / 2;
  Rotary rotary{at::empty({seq_len, config.head_dim}), at::empty({seq_len, config.head_dim})};
  float* cosine = rotary.cosine.data_ptr<float>();
  float* sine = rotary.sine.data_ptr<float>();
  for (int64_t i = 0; i < half; ++i) {
    const float frequency = frequency_of(config, i);
    for (int64_t t = 0; t < seq_len; ++t) {
      const float angle = static_cast<float>(t) * frequency;
      for (const int64_t column : {i, i + half}) {
        cosine[t * config.head_dim + column] = std::cos(angle);
        sine[t * config.head_dim + column] = std::sin(angle);
      }
    }
  }
  return rotary;
}

Rotary rows_of(const Rotary& all, int64_t first, int64_t count) {
  if (!all.cosine.defined()) return {};
  return {all.cosine.narrow(0, first, count), all.sine.narrow(0, first, count)};
}

// Halves (a, b) of a head become (a cos - b sin, b cos + a sin).
at::Tensor rotate(const at::Tensor& x, const Rotary& rotary) {
  if (!rotary.cosine.defined()) return x;
  if (x.is_cuda()) return device_rotate(x, rotary);
  const int64_t half = x.size(2) / 2;
  const at::Tensor turned = at::cat({-x.narrow(2, half, half), x.narrow(2, 0, half)}, 2);
  return x * rotary.cosine.unsqueeze(1) + turned * rotary.sine.unsqueeze(1);
}

}  // namespace bitmill
