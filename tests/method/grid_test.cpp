#include "method/grid.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.hpp"
#include "model/one_thread.hpp"

namespace bitmill {
namespace {

const ExactRatio fifth{1, 5};

TEST(ExactRatio, FloorDoesNotSufferFromBinaryFractions) {
  const ExactRatio ratio = ExactRatio::parse("0.29");
  EXPECT_EQ(ratio.floor_times(100), 29);  // 0.29 * 100 is 28.999... in binary
  EXPECT_EQ(ExactRatio::parse("0.2").floor_times(576), 115);
  EXPECT_EQ(ExactRatio::parse(".25").floor_times(7), 1);
  EXPECT_EQ(ExactRatio::parse("0").floor_times(7), 0);
  EXPECT_EQ(ExactRatio::parse("0.5").floor_times(INT64_MAX), INT64_MAX / 2);
}

TEST(ExactRatio, TextIsTheShortestDecimal) {
  EXPECT_EQ(ExactRatio::parse("0.200").text(), "0.2");
  EXPECT_EQ(ExactRatio::parse("0.125").text(), "0.125");
  EXPECT_EQ(ExactRatio::parse("0").text(), "0");
}

TEST(ExactRatio, AnythingElseIsRefused) {
  for (const char* text : {"", ".", "1", "1.0", "-0.1", "0.2x", "2e-1", "0.1234567890", "nan"}) {
    EXPECT_THROW(ExactRatio::parse(text), UsageError) << text;
  }
}

TEST(SalientColumns, CountIsFloorPlusOne) {
  const std::vector<float> saliency = {5, 1, 4, 2, 3, 9, 8, 7, 6, 0};
  EXPECT_EQ(salient_columns(saliency, fifth), (std::vector<int64_t>{5, 6, 7}));
}

TEST(SalientColumns, OfTiesTheLowerColumnComesFirst) {
  const std::vector<float> saliency = {1, 2, 2, 2, 2};
  EXPECT_EQ(salient_columns(saliency, fifth), (std::vector<int64_t>{1, 2}));
}

TEST(SalientColumns, NeverMoreThanThereAre) {
  const std::vector<float> saliency = {3};
  EXPECT_EQ(salient_columns(saliency, ExactRatio{99, 100}), (std::vector<int64_t>{0}));
}

TEST(CodeGrid, ByHand) {
  const CodeGrid grid = make_code_grid(-1.0F, 2.0F);  // s = 3/15 = 0.2, z = round(5) = 5
  EXPECT_FLOAT_EQ(grid.scale, 0.2F);
  EXPECT_EQ(grid.zero, 5.0F);
  EXPECT_EQ(encode(-1.0F, grid), 0);
  EXPECT_EQ(encode(2.0F, grid), 15);
  EXPECT_EQ(encode(0.0F, grid), 5);
  EXPECT_EQ(encode(100.0F, grid), 15);  // clamped
  EXPECT_EQ(encode(-100.0F, grid), 0);
}

TEST(CodeGrid, ZeroIsAlwaysInsideTheRange) {
  const CodeGrid positive = make_code_grid(1.0F, 3.0F);
  EXPECT_EQ(positive.zero, 0.0F);
  EXPECT_FLOAT_EQ(positive.scale, 0.2F);
  const CodeGrid negative = make_code_grid(-3.0F, -1.0F);
  EXPECT_EQ(negative.zero, 15.0F);
}

TEST(CodeGrid, RoundingIsHalfToEven) {
  const CodeGrid grid{1.0F, 0.0F};
  EXPECT_EQ(encode(0.5F, grid), 0);
  EXPECT_EQ(encode(1.5F, grid), 2);
  EXPECT_EQ(encode(2.5F, grid), 2);
}

TEST(CodeGrid, RowOfZerosHasARangeOfItsOwn) {
  const CodeGrid grid = make_code_grid(0, 0);  // [-1, 1]: s = 2/15; 1/s is 7.5 but for rounding
  EXPECT_FLOAT_EQ(grid.scale, 2.0F / 15.0F);
  EXPECT_NEAR(grid.zero, 7.5F, 0.5F);
  EXPECT_EQ(static_cast<float>(encode(0, grid)), grid.zero);  // a zero comes back as zero
}

TEST(RowMoments, EntriesThatAreExactlyZeroAreLeftOut) {
  const std::vector<float> values = {0, 1, -3, 0};
  const RowMoments moments = row_moments(values);
  EXPECT_FLOAT_EQ(moments.mean, -1.0F);
  EXPECT_FLOAT_EQ(moments.mean_abs, 2.0F);
  EXPECT_EQ(row_moments(std::vector<float>{0, 0}).mean_abs, 0.0F);
}

TEST(QuantizeLinear, ByHand) {
  // Columns 1 and 3 are salient (two of five by ratio 0.2).
  const at::Tensor weight = at::tensor({1.F, 3.F, 2.F, -1.F, 6.F,  //
                                        0.F, 0.F, 0.F, 0.F, 0.F})
                                .view({2, 5});
  const std::vector<float> saliency = {0, 9, 1, 8, 2};
  ThreadPool pool(2);
  const InitialLinear linear = quantize_linear(weight, saliency, {}, pool);
  EXPECT_TRUE(at::equal(linear.frozen.salient_columns, at::tensor({1, 3}, at::kLong)));
  EXPECT_TRUE(at::equal(linear.frozen.low_columns, at::tensor({0, 2, 4}, at::kLong)));
  EXPECT_FLOAT_EQ(linear.frozen.row_mean[0].item<float>(), 3.0F);
  EXPECT_FLOAT_EQ(linear.row_scale[0].item<float>(), 3.0F);
  // 1 - 3 < 0, 2 - 3 < 0, 6 - 3 >= 0; a row equal to its mean is +1.
  EXPECT_TRUE(
      at::equal(linear.frozen.signs, at::tensor({-1, -1, 1, 1, 1, 1}, at::kChar).view({2, 3})));
  // Range of the whole row: [-1, 6], s = 7/15, z = round(15/7) = 2.
  EXPECT_FLOAT_EQ(linear.frozen.code_scale[0].item<float>(), 7.0F / 15.0F);
  EXPECT_EQ(linear.frozen.code_zero[0].item<float>(), 2.0F);
  EXPECT_EQ(linear.frozen.codes[0][0].item<int>(), 8);  // round(3 / (7/15)) + 2 = 6 + 2
  EXPECT_EQ(linear.frozen.codes[0][1].item<int>(), 0);
}

TEST(QuantizeLinear, SalientRangeLooksAtSalientColumnsOnly) {
  const at::Tensor weight = at::tensor({1.F, 3.F, 2.F, -1.F, 6.F}).view({1, 5});
  const std::vector<float> saliency = {0, 9, 1, 8, 2};
  MethodSettings settings;
  settings.int4_range = Int4Range::salient;
  ThreadPool pool(1);
  const InitialLinear linear = quantize_linear(weight, saliency, settings, pool);
  EXPECT_FLOAT_EQ(linear.frozen.code_scale[0].item<float>(), 4.0F / 15.0F);  // [-1, 3]
}

TEST(CodeGrid, ClippingNarrowsTheRangeWhereTheImportantValuesGain) {
  const std::vector<float> values = {0.31F, 0.77F, 1.49F, 15.0F};
  const std::vector<float> even = {1, 1, 1, 1}, without_last = {1, 1, 1, 0};
  EXPECT_FLOAT_EQ(make_clipped_grid(0, 15, values, even).scale, 1.0F);
  const CodeGrid narrow = make_clipped_grid(0, 15, values, without_last);
  EXPECT_LT(narrow.scale, 1.0F);
  double best = 1e9;
  float expected = 0;
  for (const float factor : {1.0F, 0.95F, 0.9F, 0.85F, 0.8F, 0.75F, 0.7F}) {
    double error = 0;
    for (int j = 0; j < 3; ++j) {
      const double off = std::nearbyint(values[j] / factor) * factor - values[j];
      error += off * off;
    }
    if (error < best) {
      best = error;
      expected = factor;
    }
  }
  EXPECT_NEAR(narrow.scale, expected, 1e-6);
}

TEST(CodeGrid, OfEqualErrorsTheWidestRangeWins) {
  const std::vector<float> nothing;
  EXPECT_FLOAT_EQ(make_clipped_grid(0, 15, nothing, nothing).scale, 1.0F);
}

TEST(QuantizeLinear, CentredScaleIsTheMeanDistanceFromTheMean) {
  const at::Tensor weight = at::tensor({1.F, 2.F, 6.F, 0.F}).view({1, 4});
  const std::vector<float> saliency = {0, 0, 0, 1};
  MethodSettings settings;
  settings.salient_ratio = {0, 1};
  settings.center = true;
  ThreadPool pool(1);
  const InitialLinear linear = quantize_linear(weight, saliency, settings, pool);
  EXPECT_FLOAT_EQ(linear.frozen.row_mean[0].item<float>(), 3.0F);
  EXPECT_FLOAT_EQ(linear.row_scale[0].item<float>(), 2.0F);  // (2 + 1 + 3) / 3
}

TEST(QuantizeLinear, LatentsAreDistancesFromTheMeanInUnitsOfTheirMeanWithinTheClamp) {
  const at::Tensor weight = at::tensor({1.F, 2.F, 6.F, 9.F,  //
                                        5.F, 5.F, 5.F, 9.F})
                                .view({2, 4});
  const std::vector<float> saliency = {0, 0, 0, 1};
  MethodSettings settings;
  settings.salient_ratio = {0, 1};
  settings.learned.signs = true;
  ThreadPool pool(1);
  const InitialLinear linear = quantize_linear(weight, saliency, settings, pool);
  EXPECT_FALSE(linear.frozen.signs.defined());
  // Mean 3, mean distance 2: -1, -0.5, 1.5, the last clamped; a row that is its mean is all 0.
  const at::Tensor expected = at::tensor({-1.F, -0.5F, 1.4F, 0.F, 0.F, 0.F}).view({2, 3});
  EXPECT_TRUE(at::allclose(linear.latents, expected)) << linear.latents;
  EXPECT_FLOAT_EQ(linear.row_scale[0].item<float>(), 3.0F);
  EXPECT_EQ(linear.row_scale[1].item<float>(), 0.0F);
}

}  // namespace
}  // namespace bitmill
