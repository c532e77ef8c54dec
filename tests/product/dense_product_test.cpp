#include "product/dense_product.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/error.hpp"
#include "product/product_cases.hpp"

namespace bitmill {
namespace {

using test::exact_product;
using test::magnitude;
using test::multiplied;
using test::options_for;
using test::random_values;

struct DenseShape {
  int64_t rows, cols;
};
constexpr std::array dense_shapes = {DenseShape{1, 1},   DenseShape{15, 31}, DenseShape{16, 16},
                                     DenseShape{17, 33}, DenseShape{67, 0},  DenseShape{0, 5},
                                     DenseShape{70, 515}};
constexpr std::array dense_dtypes = {Dtype::float32, Dtype::float16, Dtype::bfloat16};

// A random weight of a dtype, and the same as float32.
struct DenseWeight {
  std::vector<std::byte> stored;
  std::vector<float> values;

  DenseWeight(Dtype dtype, const DenseShape& shape)
      : stored(shape.rows * shape.cols * dtype_bytes(dtype)), values(shape.rows * shape.cols) {
    from_float32(dtype, random_values(shape.rows * shape.cols, 21), stored);
    to_float32(dtype, stored, values);
  }
};

class DenseProductOn : public ::testing::TestWithParam<std::string> {
 protected:
  static std::unique_ptr<Product> dense(const DenseWeight& weight, Dtype dtype,
                                        const DenseShape& shape, const std::string& kernel) {
    return make_dense_product(weight.stored, dtype, shape.rows, shape.cols, "head",
                              options_for(Activations::float32, kernel));
  }
  static std::unique_ptr<Product> int8(const DenseWeight& weight, Dtype dtype,
                                       const DenseShape& shape, const std::string& kernel,
                                       Activations activations) {
    return make_int8_product(weight.stored, dtype, shape.rows, shape.cols, "head",
                             options_for(activations, kernel));
  }
};
INSTANTIATE_TEST_SUITE_P(Kernels, DenseProductOn, ::testing::ValuesIn(usable_cpu_kernels()));

TEST_P(DenseProductOn, StoredWeightsHaveTheBitsOfThePlainKernelAndTheValuesOfTheWeight) {
  for (const Dtype dtype : dense_dtypes) {
    for (const DenseShape& shape : dense_shapes) {
      const DenseWeight weight(dtype, shape);
      for (const int64_t tokens : {0, 1, 3, 4, 9, 66}) {
        const auto x = random_values(tokens * shape.cols, 22);
        const auto y = multiplied(*dense(weight, dtype, shape, GetParam()), x, tokens);
        EXPECT_EQ(y, multiplied(*dense(weight, dtype, shape, "plain"), x, tokens, 3));
        const auto exact = exact_product(weight.values, shape.rows, shape.cols, x, tokens);
        for (size_t i = 0; i < y.size(); ++i) {
          const auto token = static_cast<int64_t>(i) / shape.rows;
          const auto row = static_cast<int64_t>(i) % shape.rows;
          EXPECT_NEAR(y[i], exact[i], 4e-6 * magnitude(weight.values, row, shape.cols, x, token));
        }
      }
    }
  }
}

TEST_P(DenseProductOn, EveryFloat16IsWidenedExactly) {
  constexpr int64_t patterns = int64_t{1} << 16;
  std::vector<uint16_t> halves(patterns);
  for (int64_t i = 0; i < patterns; ++i) halves[i] = static_cast<uint16_t>(i);
  for (const Dtype dtype : {Dtype::float16, Dtype::bfloat16}) {
    const auto product = make_dense_product(std::as_bytes(std::span(halves)), dtype, patterns, 1,
                                            "w", options_for(Activations::float32, GetParam()));
    const auto y = multiplied(*product, {1.0F}, 1);
    for (int64_t i = 0; i < patterns; ++i) {
      const float expected =
          dtype == Dtype::float16 ? half_to_float(halves[i]) : bfloat_to_float(halves[i]);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(y[i])) << i;
      } else {
        ASSERT_EQ(y[i], expected) << i;
      }
    }
  }
}

TEST_P(DenseProductOn, Int8WeightsHaveTheBitsOfThePlainKernel) {
  for (const DenseShape& shape : dense_shapes) {
    const DenseWeight weight(Dtype::bfloat16, shape);
    for (const Activations activations :
         {Activations::int8, Activations::int16, Activations::float32}) {
      for (const int64_t tokens : {0, 1, 2, 5, 8, 67}) {
        const auto x = random_values(tokens * shape.cols, 23);
        const auto plain = int8(weight, Dtype::bfloat16, shape, "plain", activations);
        const auto forced = int8(weight, Dtype::bfloat16, shape, GetParam(), activations);
        EXPECT_EQ(multiplied(*forced, x, tokens, 2), multiplied(*plain, x, tokens))
            << shape.rows << " x " << shape.cols << ", " << tokens << " tokens";
      }
    }
  }
}

TEST_P(DenseProductOn, Int8WeightsStayWithinHalfAStepOfWeightAndInput) {
  const DenseShape shape{70, 515};
  const DenseWeight weight(Dtype::float16, shape);
  const auto x = random_values(2 * shape.cols, 24);
  const auto exact = exact_product(weight.values, shape.rows, shape.cols, x, 2);
  for (const auto& [activations, input_step] :
       {std::pair{Activations::int8, 1.0 / 127}, std::pair{Activations::int16, 1.0 / 32639},
        std::pair{Activations::float32, 0.0}}) {
    const auto y = multiplied(*int8(weight, Dtype::float16, shape, GetParam(), activations), x, 2);
    double worst = 0;
    for (size_t i = 0; i < y.size(); ++i) worst = std::max(worst, std::abs(y[i] - exact[i]));
    // Weights and inputs are at most 1; errors of 515 columns add like a walk: 6 deviations.
    const double step = 1.0 / 127 + input_step;
    EXPECT_LT(worst, 6 * step / std::sqrt(12.0) * std::sqrt(515.0 / 3) + 1e-4)
        << activations_name(activations);
    EXPECT_GT(worst, 0);
  }
}

TEST_P(DenseProductOn, FullBytesTimesFullDigitsDoNotOverflow) {
  const DenseShape shape{16, 8192};
  std::vector<float> values(shape.rows * shape.cols, -1.0F);
  const auto product =
      make_int8_product(std::as_bytes(std::span(values)), Dtype::float32, shape.rows, shape.cols,
                        "head", options_for(Activations::int16, GetParam()));
  for (const float value : {1.0F, -1.0F}) {
    const auto y = multiplied(*product, std::vector<float>(shape.cols, value), 1);
    for (const float out : y) EXPECT_NEAR(out, -value * 8192, 0.01F);
  }
}

TEST(Int8Product, AWeightThatIsNotFiniteIsRefusedWithItsRow) {
  std::vector<float> values(12, 1.0F);
  values[7] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(
      [&] {
        make_int8_product(std::as_bytes(std::span(values)), Dtype::float32, 3, 4, "lm_head",
                          options_for(Activations::int8, "plain"));
      },
      testing::ThrowsMessage<NumericError>(testing::HasSubstr("lm_head: row 1 holds inf")));
}

TEST(Int8Product, ARowOfZerosGivesZero) {
  const std::vector<float> values(8, 0.0F);
  const auto product = make_int8_product(std::as_bytes(std::span(values)), Dtype::float32, 2, 4,
                                         "head", options_for(Activations::int8, "plain"));
  EXPECT_THAT(multiplied(*product, {1, 2, 3, 4}, 1), testing::Each(0.0F));
}

TEST(DenseProduct, ADtypeThatIsNoFloatIsRefused) {
  EXPECT_THROW(make_dense_product({}, Dtype::int32, 0, 0, "head",
                                  options_for(Activations::float32, "plain")),
               FormatError);
}

}  // namespace
}  // namespace bitmill
