#pragma once
// What the method can be told (spec sections 1 to 4). Everything here changes the result, so all of
// it is part of a run's fingerprint.

#include <cstdint>
#include <string>

namespace bitmill {

// A number in [0, 1) as it was written: floor(0.2 * cols) must not suffer from binary fractions.
struct ExactRatio {
  int64_t numerator = 0;
  int64_t denominator = 1;

  // "0.2", ".25", "0". UsageError otherwise; at most nine digits after the point.
  static ExactRatio parse(const std::string& text);
  int64_t floor_times(int64_t count) const { return count * numerator / denominator; }
  std::string text() const;  // shortest decimal
};

enum class Saliency { max, mean };      // published code, paper
enum class Int4Range { row, salient };  // published code, finer steps

struct MethodSettings {
  ExactRatio salient_ratio{1, 5};
  Saliency saliency = Saliency::max;
  Int4Range int4_range = Int4Range::row;
  double lr_scale = 5e-4;  // of alpha
  double lr_gain = 1e-3;   // of r1 and r2
};

}  // namespace bitmill
