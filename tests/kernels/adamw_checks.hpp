#pragma once
// adamw() against the loop of src/method/adamw.cpp, on any kind of device.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/adamw.hpp"
#include "kernels/element_array.hpp"
#include "method/adamw_element.hpp"

namespace bitmill {

struct AdamWState {
  std::vector<float> first, second, value;
};

struct AdamWCase {
  std::vector<kernels::AdamWPiece> pieces;
  // Of each unit; those of the sum are added in order.
  std::vector<std::vector<float>> gradients;
  AdamWState state;
  int64_t steps = 3;
  double factor = 0.7;
};

// Segments of the sizes, with gaps between them as in the flat tensor. Every second one has the
// window of learned signs.
inline AdamWCase make_adamw_case(const std::vector<int64_t>& segments, int units) {
  AdamWCase made;
  int64_t offset = 0;
  for (size_t s = 0; s < segments.size(); ++s) {
    for (int64_t begin = 0; begin < segments[s]; begin += kernels::adamw_elements_per_piece) {
      const int64_t count = std::min(kernels::adamw_elements_per_piece, segments[s] - begin);
      made.pieces.push_back({offset + begin, static_cast<int32_t>(count), s % 2 == 0 ? 0.0F : 1.5F,
                             1e-3 * static_cast<double>(s + 1)});
    }
    offset += (segments[s] + 15) / 16 * 16 + 16;
  }
  for (int unit = 0; unit < units; ++unit) {
    made.gradients.push_back(exact_numbers(offset, 10 + unit));
    for (float& value : made.gradients.back()) value = value * value * value / 3;
  }
  made.state = {exact_numbers(offset, 1), exact_numbers(offset, 2), exact_numbers(offset, 3)};
  for (float& value : made.state.second) value = std::abs(value) / 7;
  return made;
}

inline double correction(float beta, int64_t steps) {
  return 1.0 - std::pow(double{beta}, static_cast<double>(steps));
}

// The window takes effect on each unit's gradient, before they are added, as in the cpu backend.
inline AdamWState adamw_reference(const AdamWCase& problem) {
  AdamWState state = problem.state;
  const double correction1 = correction(AdamWStep::beta1, problem.steps);
  const auto root2 = static_cast<float>(std::sqrt(correction(AdamWStep::beta2, problem.steps)));
  for (const kernels::AdamWPiece& piece : problem.pieces) {
    const AdamWStep step{static_cast<float>(problem.gradients.size()),
                         static_cast<float>(piece.rate * problem.factor / correction1), root2};
    for (int64_t i = piece.begin; i < piece.begin + piece.count; ++i) {
      const bool passes = piece.window == 0 || std::abs(state.value[i]) < piece.window;
      float sum = 0;
      for (const auto& gradient : problem.gradients) sum += passes ? gradient[i] : 0.0F;
      adamw_element(step, sum, state.first[i], state.second[i], state.value[i]);
    }
  }
  return state;
}

template <template <typename> class Array>
AdamWState adamw_on_device(const AdamWCase& problem) {
  std::vector<float> sum(problem.state.value.size(), 0);
  for (const auto& gradient : problem.gradients) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += gradient[i];
  }
  const Array<kernels::AdamWPiece> pieces(problem.pieces);
  const Array<float> sum_there(sum), first(problem.state.first), second(problem.state.second),
      value(problem.state.value);
  const kernels::AdamWSlice task{
      pieces.data(),
      sum_there.data(),
      first.data(),
      second.data(),
      value.data(),
      std::ssize(problem.pieces),
      static_cast<float>(problem.gradients.size()),
      static_cast<float>(std::sqrt(correction(AdamWStep::beta2, problem.steps))),
      problem.factor,
      correction(AdamWStep::beta1, problem.steps)};
  EXPECT_EQ(kernels::adamw(task, nullptr), kernels::cudaSuccess);
  return {first.to_host(), second.to_host(), value.to_host()};
}

template <template <typename> class Array>
void check_adamw(const AdamWCase& problem) {
  const AdamWState got = adamw_on_device<Array>(problem), want = adamw_reference(problem);
  const std::string name = std::to_string(problem.pieces.size()) + " pieces, " +
                           std::to_string(problem.gradients.size()) + " units";
  EXPECT_EQ(first_difference(got.first, want.first), "") << "first moment, " << name;
  EXPECT_EQ(first_difference(got.second, want.second), "") << "second moment, " << name;
  EXPECT_EQ(first_difference(got.value, want.value), "") << "value, " << name;
}

// Around the piece (4,096 elements) and its rounds (1,024).
template <template <typename> class Array>
void check_all_of_adamw() {
  check_adamw<Array>(make_adamw_case({}, 1));
  for (const int64_t size : {1, 31, 33, 1023, 1025, 4095, 4096, 4097}) {
    check_adamw<Array>(make_adamw_case({size, size}, 2));
  }
  check_adamw<Array>(make_adamw_case({16, 576, 5, 9001}, 3));
}

}  // namespace bitmill
