#include "product/packed_product.hpp"

#include <fmt/format.h>
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
using test::odd_product_shapes;
using test::options_for;
using test::ProductShape;
using test::random_values;

constexpr std::array all_activations = {Activations::int8, Activations::int16,
                                        Activations::float32};

std::string words_of(const ProductShape& shape) {
  return fmt::format("{} rows, {} low, {} salient columns", shape.rows, shape.low, shape.salient);
}

PackedLinear linear_of(const ProductShape& shape, uint64_t seed = 11) {
  return random_linear(shape.rows, shape.low + shape.salient, shape.salient, seed).first;
}

// Every kernel that this machine runs: "plain" and the ones that are forced by their names.
class PackedProductOn : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kernels, PackedProductOn, ::testing::ValuesIn(usable_cpu_kernels()));

TEST_P(PackedProductOn, EveryOddShapeHasTheBitsOfThePlainKernel) {
  for (const ProductShape& shape : odd_product_shapes()) {
    const PackedLinear linear = linear_of(shape);
    for (const Activations activations : all_activations) {
      for (const int64_t tokens : {0, 1, 2, 3, 8, 15, 64, 67}) {
        const auto x = random_values(tokens * linear.cols, 5);
        const auto plain = make_packed_product(linear, "w", options_for(activations, "plain"));
        const auto forced = make_packed_product(linear, "w", options_for(activations, GetParam()));
        EXPECT_EQ(multiplied(*forced, x, tokens), multiplied(*plain, x, tokens))
            << words_of(shape) << ", " << tokens << " tokens, " << activations_name(activations);
      }
    }
  }
}

TEST_P(PackedProductOn, ThreadsAndTheNumberOfTokensInACallChangeNoBit) {
  const PackedLinear linear = linear_of({403, 701, 131});
  constexpr int64_t tokens = 70;
  const auto x = random_values(tokens * linear.cols, 6);
  for (const Activations activations : all_activations) {
    const auto product = make_packed_product(linear, "w", options_for(activations, GetParam()));
    const auto together = multiplied(*product, x, tokens);
    for (const int threads : {2, 3, 5}) {
      EXPECT_EQ(multiplied(*product, x, tokens, threads), together) << threads << " threads";
    }
    for (int64_t token = 0; token < tokens; ++token) {
      const std::vector<float> one(x.begin() + token * linear.cols,
                                   x.begin() + (token + 1) * linear.cols);
      const std::vector<float> expected(together.begin() + token * linear.rows,
                                        together.begin() + (token + 1) * linear.rows);
      ASSERT_EQ(multiplied(*product, one, 1), expected) << "token " << token;
    }
  }
}

TEST_P(PackedProductOn, Float32IsTheProductOfTheDequantizedWeight) {
  for (const ProductShape& shape : odd_product_shapes()) {
    const PackedLinear linear = linear_of(shape);
    const std::vector<float> weight = dequantize(linear);
    const auto x = random_values(3 * linear.cols, 7);
    const auto product =
        make_packed_product(linear, "w", options_for(Activations::float32, GetParam()));
    const auto y = multiplied(*product, x, 3);
    const auto exact = exact_product(weight, linear.rows, linear.cols, x, 3);
    for (size_t i = 0; i < y.size(); ++i) {
      const auto token = static_cast<int64_t>(i) / linear.rows;
      const auto row = static_cast<int64_t>(i) % linear.rows;
      // Sums of signs and means cancel, which the weight does not show: 32 ulp of all magnitudes.
      EXPECT_NEAR(y[i], exact[i], 1e-6 + 4e-6 * magnitude(weight, row, linear.cols, x, token))
          << words_of(shape) << ", row " << row;
    }
  }
}

// The error of one rounded input is at most half a step, whatever the weight.
TEST_P(PackedProductOn, RoundedInputsStayWithinHalfAStepOfEveryColumn) {
  for (const ProductShape& shape : odd_product_shapes()) {
    const PackedLinear linear = linear_of(shape);
    const std::vector<float> weight = dequantize(linear);
    const auto x = random_values(2 * linear.cols, 8);
    const auto exact = exact_product(weight, linear.rows, linear.cols, x, 2);
    for (const auto& [activations, levels] :
         {std::pair{Activations::int8, 127.0}, std::pair{Activations::int16, 32639.0}}) {
      const auto y =
          multiplied(*make_packed_product(linear, "w", options_for(activations, GetParam())), x, 2);
      for (size_t i = 0; i < y.size(); ++i) {
        const auto token = static_cast<int64_t>(i) / linear.rows;
        const auto row = static_cast<int64_t>(i) % linear.rows;
        // |x| <= 1 and |col_gain| <= 1, so a step is at most 1 / levels of x^ and of salient x.
        // |weight / gain| <= |row_scale| + |row_mean| <= 2; salient weights are there as they are.
        double bound = 0;
        for (int64_t col = 0; col < linear.cols; ++col) {
          const bool salient = packed::get_bit(linear.mask.data(), col) != 0;
          bound += salient ? std::abs(double{weight[row * linear.cols + col]}) : 2.0;
        }
        EXPECT_NEAR(
            y[i], exact[i],
            0.5 / levels * bound + 1e-6 + 4e-6 * magnitude(weight, row, linear.cols, x, token))
            << words_of(shape) << ", row " << row << ", " << activations_name(activations);
      }
    }
  }
}

TEST_P(PackedProductOn, Int16IsTwoHundredTimesNearerThanInt8) {
  const PackedLinear linear = linear_of({64, 400, 100});
  const auto x = random_values(4 * linear.cols, 9);
  const auto exact = exact_product(dequantize(linear), linear.rows, linear.cols, x, 4);
  const auto error = [&](Activations activations) {
    const auto y =
        multiplied(*make_packed_product(linear, "w", options_for(activations, GetParam())), x, 4);
    double squares = 0;
    for (size_t i = 0; i < y.size(); ++i) squares += (y[i] - exact[i]) * (y[i] - exact[i]);
    return std::sqrt(squares);
  };
  EXPECT_GT(error(Activations::int8), 0);
  EXPECT_LT(error(Activations::int16) * 200, error(Activations::int8));
}

// Tokens whose largest salient input is a hundred times the others, beside ordinary ones.
std::vector<float> values_with_outliers(const PackedLinear& linear, int64_t tokens) {
  auto x = random_values(tokens * linear.cols, 12);
  for (int64_t col = 0; col < linear.cols; ++col) {
    if (packed::get_bit(linear.mask.data(), col) == 0) continue;
    for (int64_t token = 0; token < tokens; token += 2) x[token * linear.cols + col] = 100.0F;
    break;
  }
  return x;
}

TEST_P(PackedProductOn, ASalientOutlierDoesNotCostTheOtherSalientColumnsTheirPrecision) {
  const PackedLinear linear = linear_of({64, 0, 100});
  const auto x = values_with_outliers(linear, 2);
  const std::vector<float> weight = dequantize(linear);
  const auto exact = exact_product(weight, linear.rows, linear.cols, x, 2);
  const auto y = multiplied(
      *make_packed_product(linear, "w", options_for(Activations::int8, GetParam())), x, 2);
  for (size_t i = 0; i < y.size(); ++i) {
    const auto row = static_cast<int64_t>(i) % linear.rows;
    double all_weights = 0;
    for (int64_t col = 0; col < linear.cols; ++col) {
      all_weights += std::abs(double{weight[row * linear.cols + col]});
    }
    // One digit: half of 100 / 127, two digits: half of 100 / 32639. The other token has one digit
    // of its own scale.
    const double step = static_cast<int64_t>(i) < linear.rows ? 100.0 / 32639 : 1.0 / 127;
    EXPECT_NEAR(y[i], exact[i], 0.51 * step * all_weights + 1e-4) << i;
  }
}

TEST_P(PackedProductOn, OutliersChangeNoBitOfOtherTokensNorBetweenKernels) {
  for (const ProductShape& shape : odd_product_shapes()) {
    const PackedLinear linear = linear_of(shape);
    const int64_t tokens = 11;  // blocks of 8, 2 and 1, with and without outliers
    const auto x = values_with_outliers(linear, tokens);
    const auto product =
        make_packed_product(linear, "w", options_for(Activations::int8, GetParam()));
    const auto plain = make_packed_product(linear, "w", options_for(Activations::int8, "plain"));
    const auto together = multiplied(*product, x, tokens, 3);
    EXPECT_EQ(together, multiplied(*plain, x, tokens)) << words_of(shape);
    for (int64_t token = 0; token < tokens; ++token) {
      const std::vector<float> one(x.begin() + token * linear.cols,
                                   x.begin() + (token + 1) * linear.cols);
      const std::vector<float> expected(together.begin() + token * linear.rows,
                                        together.begin() + (token + 1) * linear.rows);
      ASSERT_EQ(multiplied(*product, one, 1), expected) << words_of(shape) << ", token " << token;
    }
  }
}

TEST_P(PackedProductOn, ARowByHand) {
  // Columns 0 and 2 are low, 1 is salient. Largest |x^| = 2 * 1 = 2, so a step is 2/127.
  PackedLinear linear;
  linear.rows = 1;
  linear.cols = 3;
  linear.salient_cols = 1;
  linear.signs = {0b01};  // +, -
  linear.codes = {9};
  linear.mask = {0b010};
  linear.code_zero = {5};
  linear.row_scale = {float_to_half(0.5F)};
  linear.row_mean = {float_to_half(0.25F)};
  linear.col_gain = {float_to_half(2.0F), float_to_half(1.0F)};
  linear.code_scale = {float_to_half(0.125F)};
  // 2 (0.5 + 0.25) 1 + 1 (-0.5 + 0.25) (-2) + 0.125 (9 - 5) 3 = 1.5 + 0.5 + 1.5
  const std::vector<float> x = {1.0F, 3.0F, -2.0F};
  for (const Activations activations : all_activations) {
    const auto product = make_packed_product(linear, "w", options_for(activations, GetParam()));
    EXPECT_THAT(multiplied(*product, x, 1), testing::ElementsAre(testing::FloatNear(3.5F, 1e-6F)));
  }
}

// All signs +, all codes 15, zeros 0, scales 1: 9000 low and 2000 salient columns.
PackedLinear largest_linear() {
  PackedLinear linear = linear_of({16, 9000, 2000});
  const int64_t sign_words = packed::words_for(9000, packed::bits_per_word);
  for (auto& word : linear.signs) word = ~0U;
  for (int64_t row = 1; row <= linear.rows; ++row) linear.signs[row * sign_words - 1] = 0xFF;
  for (auto& word : linear.codes) word = ~0U;
  for (auto& word : linear.code_zero) word = 0;
  for (auto* halves : {&linear.row_scale, &linear.code_scale, &linear.col_gain}) {
    for (auto& half : *halves) half = float_to_half(1.0F);
  }
  for (auto& half : linear.row_mean) half = 0;
  return linear;
}

TEST_P(PackedProductOn, TheLargestSumsDoNotOverflow) {
  const PackedLinear linear = largest_linear();
  for (const float value : {1.0F, -1.0F}) {
    const std::vector<float> x(linear.cols, value);
    for (const Activations activations : all_activations) {
      const auto y =
          multiplied(*make_packed_product(linear, "w", options_for(activations, GetParam())), x, 1);
      for (const float out : y) EXPECT_NEAR(out, value * (9000 + 15 * 2000), 0.02F);
    }
  }
}

// The largest digit in magnitude: only the lower one of int16 can be so.
TEST_P(PackedProductOn, DigitsOfMinus128DoNotOverflow) {
  const PackedLinear linear = largest_linear();
  for (const float sign : {1.0F, -1.0F}) {
    // 32384 = 127 * 256 - 128, and 32639 in the columns that set the scales.
    std::vector<float> x(linear.cols, sign * 32384.0F);
    for (int64_t col = 0, low = 0, salient = 0; col < linear.cols; ++col) {
      int64_t& seen = packed::get_bit(linear.mask.data(), col) != 0 ? salient : low;
      if (seen++ == 0) x[col] = sign * 32639.0F;
    }
    const auto y = multiplied(
        *make_packed_product(linear, "w", options_for(Activations::int16, GetParam())), x, 1);
    const double expected = sign * (32384.0 * (9000 + 15 * 2000) + 255.0 * (1 + 15));
    for (const float out : y) EXPECT_NEAR(out, expected, std::abs(expected) * 1e-6);
  }
}

TEST_P(PackedProductOn, InputsThatAreNotFiniteAreRefusedWithTokenAndWeight) {
  const PackedLinear linear = linear_of({17, 33, 9});
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    for (const int64_t col : {int64_t{0}, linear.cols - 1}) {
      auto x = random_values(3 * linear.cols, 10);
      x[2 * linear.cols + col] = bad;
      const auto product =
          make_packed_product(linear, "layers.3.mlp", options_for(Activations::int8, GetParam()));
      EXPECT_THAT([&] { multiplied(*product, x, 3); },
                  testing::ThrowsMessage<NumericError>(testing::AllOf(
                      testing::HasSubstr("layers.3.mlp"), testing::HasSubstr("token 2"))));
    }
  }
}

TEST_P(PackedProductOn, InputsOfZeroAndNearZeroGiveZero) {
  const PackedLinear linear = linear_of({17, 33, 9});
  const auto product = make_packed_product(linear, "w", options_for(Activations::int8, GetParam()));
  for (const float value : {0.0F, -0.0F, 1e-40F, 1e-35F}) {
    const auto y = multiplied(*product, std::vector<float>(linear.cols, value), 1);
    for (const float out : y) EXPECT_EQ(out, 0.0F);
  }
}

TEST_P(PackedProductOn, TinyScalesOfFloat16AreNotLost) {
  PackedLinear linear = linear_of({16, 32, 8});
  for (auto& half : linear.row_scale) half = 1;  // 2^-24, the smallest float16
  for (auto& half : linear.row_mean) half = 0x8003;
  for (auto& half : linear.code_scale) half = 0x0200;
  const auto x = random_values(linear.cols, 12);
  const auto exact = exact_product(dequantize(linear), linear.rows, linear.cols, x, 1);
  const auto product =
      make_packed_product(linear, "w", options_for(Activations::float32, GetParam()));
  const auto y = multiplied(*product, x, 1);
  for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], exact[i], 1e-5 * 0x1p-14);
}

TEST(PackedProduct, MoreColumnsThanASumCanHoldAreRefused) {
  PackedLinear linear;  // no rows: only the columns count
  linear.cols = (1 << 17) + 1;
  linear.mask.resize(packed::words_for(linear.cols, packed::bits_per_word));
  linear.col_gain.resize(linear.cols);
  EXPECT_THAT([&] { make_packed_product(linear, "down", options_for(Activations::int8, "plain")); },
              testing::ThrowsMessage<FormatError>(testing::HasSubstr("down: 131073 columns")));
}

TEST(PackedProduct, ItTakesTheBytesOfThePackedLinearAndALittleMore) {
  const PackedLinear linear = linear_of({512, 1640, 408});
  const auto product = make_packed_product(linear, "w", options_for(Activations::int8, "plain"));
  const double stored = static_cast<double>(stored_bits(linear)) / 8;
  EXPECT_LT(static_cast<double>(product->weight_bytes()), stored * 1.01);
  EXPECT_GT(static_cast<double>(product->weight_bytes()), stored * 0.95);
  EXPECT_LT(static_cast<double>(product->resident_bytes()), stored * 1.12);
}

}  // namespace
}  // namespace bitmill
