#pragma once
// What the method can be told (METHOD.md). Everything here changes the result, so all of it is part
// of a run's fingerprint.

#include <algorithm>
#include <cstdint>
#include <string>

#include "backend/learned_parts.hpp"

namespace bitmill {

// A number in [0, 1) as it was written: floor(0.2 * cols) must not suffer from binary fractions.
struct ExactRatio {
  int64_t numerator = 0;
  int64_t denominator = 1;

  // "0.2", ".25", "0". UsageError otherwise; at most nine digits after the point.
  static ExactRatio parse(const std::string& text);
  // In steps that do not overflow. REQUIRES: count >= 0.
  int64_t floor_times(int64_t count) const {
    return count / denominator * numerator + count % denominator * numerator / denominator;
  }
  // Salient channels of `cols`, as the published code counts them: one more than the share.
  int64_t salient_of(int64_t cols) const { return std::min(cols, floor_times(cols) + 1); }
  std::string text() const;  // shortest decimal
};

enum class Saliency { max, mean };      // published code, paper
enum class Int4Range { row, salient };  // published code, finer steps

enum class Init { weights, descent };  // signs and codes as the weights have them, or cd after that
enum class ErrorKind { absolute, relative };  // published code; per token, to its target's size
// Published code; down to a twentieth; down to nothing.
enum class RateSchedule { constant, cosine, cosine_to_zero };

struct LossSettings {
  ErrorKind error = ErrorKind::absolute;
  double normal = 1;  // weights of the two targets
  double homologous = 1;
};

struct MethodSettings {
  ExactRatio salient_ratio{1, 5};
  Saliency saliency = Saliency::max;
  Int4Range int4_range = Int4Range::row;
  bool int4_clip = false;  // the range is narrowed where that lowers the weighted error
  bool center = false;     // alpha starts as mean |W - mu| instead of mean |W|
  Init init = Init::weights;
  LossSettings loss;
  LearnedParts learned;
  double lr_scale = 5e-4;       // of alpha
  double lr_gain = 1e-3;        // of r1 and r2
  double lr_sign = 3e-2;        // of the signs' latents
  double lr_mean = 5e-4;        // of mu
  double lr_code_scale = 1e-4;  // of s
  RateSchedule schedule = RateSchedule::constant;
};

}  // namespace bitmill
