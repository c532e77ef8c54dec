#pragma once
// The settings of the method (METHOD.md). Everything here changes the result, so all of it is part
// of a run's fingerprint.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "backend/learned_parts.hpp"

namespace bitmill {

// A number in [0, 1), exactly as it was written in decimals: rounding 0.2 to binary could change
// floor(0.2 * cols).
struct ExactRatio {
  int64_t numerator = 0;
  int64_t denominator = 1;

  // "0.2", ".25", "0". UsageError otherwise; at most nine digits after the point.
  static ExactRatio parse(const std::string& text);
  // floor(ratio * count), without overflow. REQUIRES: count >= 0.
  int64_t floor_times(int64_t count) const {
    return count / denominator * numerator + count % denominator * numerator / denominator;
  }
  // Number of salient channels of `cols`, as in the published code: floor(ratio * cols) + 1.
  int64_t salient_of(int64_t cols) const { return std::min(cols, floor_times(cols) + 1); }
  std::string text() const;  // shortest decimal
};

// max is what the published code does, mean what the paper says.
enum class Saliency { max, mean };
// What the 4-bit grid of a row spans: the whole row (published code), or its salient columns alone,
// which makes finer steps.
enum class Int4Range { row, salient };

// weights: signs and codes are rounded from the weights. descent: coordinate descent after that.
enum class Init { weights, descent };
// absolute: published code. relative: each token's error is divided by the size of its target.
enum class ErrorKind { absolute, relative };
// constant: published code. cosine: down to a twentieth. cosine_to_zero: down to 0.
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

// The words for these, on the command line and in all records: one table, so that no value is ever
// recorded under the name of another one.
std::string_view word_of(Saliency saliency);
std::string_view word_of(Int4Range range);
std::string_view word_of(Init init);
std::string_view word_of(ErrorKind error);
std::string_view word_of(RateSchedule schedule);

}  // namespace bitmill
