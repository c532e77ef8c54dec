#pragma once
// sample_loss() and its gradient against the formulas of METHOD.md in float64, on any kind of
// device.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/element_array.hpp"
#include "kernels/sample_loss.hpp"

namespace bitmill {

struct LossCase {
  kernels::Element student_element, target_element;
  int64_t tokens, hidden;
  float normal_weight, homologous_weight;
  bool relative;
  std::vector<float> student, normal, homologous;
};

struct LossOut {
  double loss;
  std::vector<float> gradient;
};

// Targets are near the student's output, and one token is much larger than the others.
inline LossCase make_loss_case(kernels::Element student, kernels::Element target, int64_t tokens,
                               int64_t hidden, float normal_weight = 1, float homologous_weight = 1,
                               bool relative = false) {
  const int64_t count = tokens * hidden;
  LossCase made{student,
                target,
                tokens,
                hidden,
                normal_weight,
                homologous_weight,
                relative,
                exact_numbers(count, 1),
                exact_numbers(count, 2),
                exact_numbers(count, 3)};
  for (int64_t i = 0; i < count; ++i) {
    const float size = i < hidden ? 100.0F : 1.0F;
    made.student[i] = (made.student[i] + 0.3F) * size;
    made.normal[i] = made.student[i] + made.normal[i] * size / 4;
    made.homologous[i] = made.student[i] + made.homologous[i] * size / 8;
  }
  made.student = rounded_to(student, made.student);
  made.normal = rounded_to(target, made.normal);
  made.homologous = rounded_to(target, made.homologous);
  return made;
}

// One target's part of the loss, as METHOD.md has it; adds to `gradient`.
inline double loss_term(const LossCase& problem, double weight, const std::vector<double>& y,
                        const std::vector<float>& target, std::vector<double>& gradient) {
  const int64_t tokens = problem.tokens, hidden = problem.hidden;
  double error = 0, cosines = 0;
  std::vector<double> size(tokens), y_norm(tokens), target_norm(tokens), cosine(tokens);
  for (int64_t t = 0; t < tokens; ++t) {
    double product = 0, y_square = 0, target_square = 0, square = 0;
    for (int64_t i = t * hidden; i < (t + 1) * hidden; ++i) {
      product += y[i] * target[i];
      y_square += y[i] * y[i];
      target_square += double{target[i]} * target[i];
      square += (y[i] - target[i]) * (y[i] - target[i]);
    }
    size[t] = problem.relative ? target_square / static_cast<double>(hidden) + 1e-6 : 1;
    error += square / (static_cast<double>(hidden * tokens) * size[t]);
    y_norm[t] = std::max(std::sqrt(y_square), 1e-8);
    target_norm[t] = std::max(std::sqrt(target_square), 1e-8);
    cosine[t] = product / (y_norm[t] * target_norm[t]);
    cosines += cosine[t] / static_cast<double>(tokens);
  }
  for (int64_t i = 0; i < tokens * hidden; ++i) {
    const int64_t t = i / hidden;
    const double of_cosine =
        target[i] / (y_norm[t] * target_norm[t]) - cosine[t] * y[i] / (y_norm[t] * y_norm[t]);
    gradient[i] +=
        weight * (2 * (y[i] - target[i]) / (static_cast<double>(hidden * tokens) * size[t]) -
                  of_cosine / (cosines * static_cast<double>(tokens)));
  }
  return weight * (error - std::log(std::abs(cosines)));
}

inline double loss_reference(const LossCase& problem, const std::vector<double>& y,
                             std::vector<double>& gradient) {
  gradient.assign(y.size(), 0);
  double loss = 0;
  if (problem.normal_weight != 0) {
    loss += loss_term(problem, problem.normal_weight, y, problem.normal, gradient);
  }
  if (problem.homologous_weight != 0) {
    loss += loss_term(problem, problem.homologous_weight, y, problem.homologous, gradient);
  }
  return loss;
}

template <template <typename> class Array>
LossOut loss_on_device(const LossCase& problem) {
  const ElementArray<Array> student(problem.student_element, problem.student),
      normal(problem.target_element, problem.normal),
      homologous(problem.target_element, problem.homologous),
      gradient(problem.student_element, std::ssize(problem.student));
  const Array<float> sums(std::vector<float>(problem.tokens * 8, NAN)),
      coefficients(std::vector<float>(problem.tokens * 4, NAN)), loss(std::vector<float>{NAN});
  const kernels::SampleLoss task{student.data(),
                                 problem.normal_weight == 0 ? nullptr : normal.data(),
                                 problem.homologous_weight == 0 ? nullptr : homologous.data(),
                                 sums.data(),
                                 coefficients.data(),
                                 loss.data(),
                                 problem.tokens,
                                 problem.hidden,
                                 problem.normal_weight,
                                 problem.homologous_weight,
                                 problem.relative,
                                 problem.student_element,
                                 problem.target_element};
  EXPECT_EQ(kernels::sample_loss(task, nullptr), kernels::cudaSuccess);
  EXPECT_EQ(kernels::sample_loss_gradient(task, gradient.data(), nullptr), kernels::cudaSuccess);
  return {loss.to_host()[0], gradient.to_host()};
}

template <template <typename> class Array>
void check_loss(const LossCase& problem) {
  const std::string name = std::to_string(problem.tokens) + " tokens of " +
                           std::to_string(problem.hidden) + ", weights " +
                           std::to_string(problem.normal_weight) + " and " +
                           std::to_string(problem.homologous_weight);
  const LossOut got = loss_on_device<Array>(problem);
  std::vector<double> want;
  const double loss = loss_reference(
      problem, std::vector<double>(problem.student.begin(), problem.student.end()), want);
  EXPECT_NEAR(got.loss, loss, 1e-5 * (std::abs(loss) + 1)) << name;
  double largest = 0;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  const bool halves = problem.student_element == kernels::Element::bfloat16;
  const double rounding = halves ? 1.0 / 256 : 1e-7;
  EXPECT_LE(largest_distance(got.gradient, want), largest * (1e-5 + rounding)) << name;
}

// Around the block (256 threads, one or four elements or one token each), every pair of types, both
// errors, and one target alone.
template <template <typename> class Array>
void check_all_of_sample_loss() {
  using enum kernels::Element;
  for (const kernels::Element student : {float32, bfloat16}) {
    for (const kernels::Element target : {float32, bfloat16}) {
      for (const int64_t hidden : {1, 31, 255, 1024, 1031}) {
        check_loss<Array>(make_loss_case(student, target, 2, hidden));
      }
      for (const int64_t tokens : {1, 9}) {
        check_loss<Array>(make_loss_case(student, target, tokens, 36));
      }
      check_loss<Array>(make_loss_case(student, target, 9, 100, 0.25F, 2, true));
      check_loss<Array>(make_loss_case(student, target, 9, 100, 0, 1));
      check_loss<Array>(make_loss_case(student, target, 9, 100, 1, 0));
    }
  }
  check_loss<Array>(make_loss_case(float32, float32, 260, 4, 1, 1, true));
}

}  // namespace bitmill
