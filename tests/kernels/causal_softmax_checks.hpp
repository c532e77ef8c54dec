#pragma once
// causal_softmax() and its gradient against the formulas in float64, on any kind of device.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/causal_softmax.hpp"
#include "kernels/element_array.hpp"

namespace bitmill {

struct SoftmaxCase {
  kernels::Element element;
  kernels::ScoreRows shape;
  float scale;
  std::vector<float> scores, gradient;  // [rows, row_floats]
};

// As kernels leave them: [rows, keys], from the beginnings of the rows.
struct SoftmaxOut {
  std::vector<float> p;        // of causal_softmax()
  std::vector<float> p_again;  // of causal_softmax_gradient()
  std::vector<float> of_scores;
};

// The keys that a row sees.
inline int64_t seen_keys(const kernels::ScoreRows& shape, int64_t row) {
  return std::min(shape.keys, shape.first + row / shape.group + 1);
}

// NaN stands at every place that is not to be read: keys that are not seen, and behind the last.
inline SoftmaxCase make_softmax_case(kernels::Element element, const kernels::ScoreRows& shape) {
  const int64_t count = shape.rows * shape.row_floats;
  SoftmaxCase made{element, shape, 0.375F, exact_numbers(count, 1), exact_numbers(count, 2)};
  for (int64_t row = 0; row < shape.rows; ++row) {
    const int64_t first = row * shape.row_floats;
    std::fill(made.scores.begin() + first + seen_keys(shape, row),
              made.scores.begin() + first + shape.row_floats, NAN);
    std::fill(made.gradient.begin() + first + seen_keys(shape, row),
              made.gradient.begin() + first + shape.row_floats, NAN);
  }
  return made;
}

// The elements that stand in the beginning of each row of float32.
inline std::vector<float> elements_in_rows(const SoftmaxCase& problem,
                                           const std::vector<float>& floats) {
  const kernels::ScoreRows& shape = problem.shape;
  std::vector<float> elements;
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int64_t key = 0; key < shape.keys; ++key) {
      const int64_t at = row * shape.row_floats;
      if (problem.element == kernels::Element::float32) {
        elements.push_back(floats[at + key]);
        continue;
      }
      const auto both = std::bit_cast<uint32_t>(floats[at + key / 2]);
      const uint32_t half = key % 2 == 0 ? both << 16 : both & 0xFFFF0000U;
      elements.push_back(std::bit_cast<float>(half));
    }
  }
  return elements;
}

template <template <typename> class Array>
SoftmaxOut softmax_on_device(const SoftmaxCase& problem) {
  const Array<float> forward(problem.scores), scores(problem.scores), gradient(problem.gradient);
  EXPECT_EQ(kernels::causal_softmax({forward.data(), problem.shape, problem.scale, problem.element},
                                    nullptr),
            kernels::cudaSuccess);
  EXPECT_EQ(
      kernels::causal_softmax_gradient(
          {scores.data(), gradient.data(), problem.shape, problem.scale, problem.element}, nullptr),
      kernels::cudaSuccess);
  return {elements_in_rows(problem, forward.to_host()), elements_in_rows(problem, scores.to_host()),
          elements_in_rows(problem, gradient.to_host())};
}

// Of one row; appends to both.
inline void softmax_reference(const SoftmaxCase& problem, int64_t row, std::vector<double>& p,
                              std::vector<double>& of_scores) {
  const kernels::ScoreRows& shape = problem.shape;
  const int64_t seen = seen_keys(shape, row), begin = row * shape.row_floats;
  const double scale = problem.scale;
  double largest = -INFINITY, sum = 0, mean = 0;
  std::vector<double> row_p(shape.keys);
  for (int64_t j = 0; j < seen; ++j) {
    largest = std::max(largest, scale * problem.scores[begin + j]);
  }
  for (int64_t j = 0; j < seen; ++j) {
    row_p[j] = std::exp(scale * problem.scores[begin + j] - largest);
    sum += row_p[j];
  }
  for (int64_t j = 0; j < seen; ++j) {
    row_p[j] /= sum;
    mean += row_p[j] * problem.gradient[begin + j];
  }
  for (int64_t j = 0; j < shape.keys; ++j) {
    p.push_back(row_p[j]);
    of_scores.push_back(j < seen ? scale * row_p[j] * (problem.gradient[begin + j] - mean) : 0);
  }
}

template <template <typename> class Array>
void check_softmax(const SoftmaxCase& problem) {
  const kernels::ScoreRows& shape = problem.shape;
  const std::string name = std::to_string(shape.rows) + " rows in groups of " +
                           std::to_string(shape.group) + ", " + std::to_string(shape.keys) +
                           " keys, first position " + std::to_string(shape.first);
  std::vector<double> p, of_scores;
  for (int64_t row = 0; row < shape.rows; ++row) softmax_reference(problem, row, p, of_scores);
  const SoftmaxOut got = softmax_on_device<Array>(problem);
  // One P is at most 1, one dS at most 0.375 * 6.
  const bool is_short = problem.element == kernels::Element::bfloat16;
  EXPECT_LE(largest_distance(got.p, p), is_short ? 1.0 / 512 : 1e-6) << name;
  EXPECT_LE(largest_distance(got.of_scores, of_scores), is_short ? 2.25 / 512 : 3e-6) << name;
  EXPECT_EQ(first_difference(got.p_again, got.p), "") << name;
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int64_t key = seen_keys(shape, row); key < shape.keys; ++key) {
      ASSERT_EQ(got.p[row * shape.keys + key], 0) << name << ", row " << row << ", key " << key;
      ASSERT_EQ(got.of_scores[row * shape.keys + key], 0) << name;
    }
  }
}

// Around an access (4), a warp's (128) and a block's (512); groups of one, some and more than rows;
// rows that see one key, some, and all; room beyond the keys.
template <template <typename> class Array>
void check_all_of_softmax() {
  for (const kernels::Element element : {kernels::Element::float32, kernels::Element::bfloat16}) {
    const auto check = [&](const kernels::ScoreRows& shape) {
      check_softmax<Array>(make_softmax_case(element, shape));
    };
    check({0, 8, 8, 1, 0});
    check({3, 0, 0, 1, 0});
    check({1, 1, 4, 1, 0});
    for (const int64_t keys : {1, 3, 5, 31, 33, 127, 129, 511, 513, 1031}) {
      const int64_t room = (keys + 3) / 4 * 4;
      check({5, keys, room, 2, std::max<int64_t>(keys - 3, 0)});
      check({2, keys, room + 8, 7, keys / 2});
    }
    check({13, 13, 16, 1, 0});
    check({3, 40, 40, 1, 100});  // more positions than keys: all are seen
  }
}

// Rows longer than what a block keeps, of the gradient alone and of both; in place with bfloat16,
// what is written lies over what is still to be read.
template <template <typename> class Array>
void check_long_softmax() {
  for (const kernels::Element element : {kernels::Element::float32, kernels::Element::bfloat16}) {
    for (const int64_t keys : {kernels::kept_scores / 2 + 1, 3 * kernels::kept_scores + 1030}) {
      check_softmax<Array>(make_softmax_case(element, {2, keys, (keys + 3) / 4 * 4, 1, keys - 2}));
    }
  }
}

}  // namespace bitmill
