// Loss, optimiser, learned layout, packing.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "backend/random_linear.hpp"
#include "base/error.hpp"
#include "format/packed_linear.hpp"
#include "method/adamw.hpp"
#include "method/learned.hpp"
#include "method/loss.hpp"
#include "method/pack.hpp"
#include "method/saliency.hpp"

namespace bitmill {
namespace {

std::vector<InitialLinear> two_linears() {
  return {{test::random_frozen({1, 5, 7, 3}, 1), at::full({5}, 2.0)},
          {test::random_frozen({1, 18, 4, 2}, 2), at::full({18}, 3.0)}};
}

TEST(LearnedLayout, SegmentsBeginOnCacheLinesAndGainsStartAtOne) {
  const auto linears = two_linears();
  const LearnedLayout layout(linears, {});
  ASSERT_EQ(layout.segments().size(), 6U);
  for (const LearnedSegment& segment : layout.segments()) EXPECT_EQ(segment.offset % 16, 0);
  std::vector<float> flat = layout.initial_values(linears);
  const auto views = layout.views(flat);
  EXPECT_TRUE(at::equal(views[0].row_scale, at::full({5}, 2.0)));
  EXPECT_TRUE(at::equal(views[1].row_scale, at::full({18}, 3.0)));
  EXPECT_TRUE(at::equal(views[1].row_gain, at::ones({18})));
  EXPECT_TRUE(at::equal(views[1].col_gain, at::ones({4})));
  EXPECT_EQ(layout.segments()[0].rate, 5e-4);
  EXPECT_EQ(layout.segments()[2].rate, 1e-3);
}

TEST(LearnedLayout, LatentsLieBehindTheVectorsOfAllLinears) {
  auto linears = two_linears();
  for (InitialLinear& linear : linears) {
    linear.frozen.signs.reset();
    linear.latents = at::randn({linear.frozen.rows, linear.frozen.low_columns.size(0)});
  }
  MethodSettings settings;
  settings.learned = {true, true, true};
  const LearnedLayout layout(linears, settings);
  ASSERT_EQ(layout.segments().size(), 12U);
  for (const LearnedSegment& segment : layout.segments()) {
    EXPECT_EQ(segment.offset >= layout.vectors_size(), segment.kind == LearnedKind::latents);
  }
  EXPECT_EQ(layout.segments().back().rate, 3e-2);
  std::vector<float> flat = layout.initial_values(linears);
  const auto views = layout.views(flat);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(at::equal(views[i].latents, linears[i].latents));
    EXPECT_TRUE(at::equal(views[i].row_mean, linears[i].frozen.row_mean));
    EXPECT_TRUE(at::equal(views[i].code_scale, linears[i].frozen.code_scale));
  }
}

TEST(RateFactor, CosineFallsFromOneToATwentieth) {
  EXPECT_EQ(rate_factor(RateSchedule::constant, 7, 10), 1.0);
  EXPECT_EQ(rate_factor(RateSchedule::cosine, 0, 10), 1.0);
  EXPECT_NEAR(rate_factor(RateSchedule::cosine, 5, 10), 0.525, 1e-12);
  EXPECT_NEAR(rate_factor(RateSchedule::cosine, 10, 10), 0.05, 1e-12);
}

TEST(RateFactor, CosineToZeroFallsFromOneToNothing) {
  EXPECT_EQ(rate_factor(RateSchedule::cosine_to_zero, 0, 10), 1.0);
  EXPECT_NEAR(rate_factor(RateSchedule::cosine_to_zero, 5, 10), 0.5, 1e-12);
  // The last step: (1 + cos(0.9 pi)) / 2, the square of sin(9 degrees).
  EXPECT_NEAR(rate_factor(RateSchedule::cosine_to_zero, 9, 10), 0.0244717418524232, 1e-12);
  EXPECT_NEAR(rate_factor(RateSchedule::cosine_to_zero, 10, 10), 0, 1e-12);
}

// The first step of Adam moves every value by its rate against the gradient's sign.
TEST(AdamW, FirstStepMovesByTheRate) {
  ThreadPool pool(2);
  const auto linears = two_linears();
  const LearnedLayout layout(linears, {});
  AdamW adamw(layout, 0, layout.size());
  std::vector<float> values(layout.size(), 1.0F), gradient(layout.size(), -3.0F);
  adamw.step(1, 1.0, gradient, values, pool);
  EXPECT_NEAR(values[layout.segments()[0].offset], 1.0 + 5e-4, 1e-7);
  EXPECT_NEAR(values[layout.segments()[1].offset], 1.0 + 1e-3, 1e-7);
}

TEST(AdamW, EqualsTheFormulaInFloat64OverManySteps) {
  ThreadPool pool(2);
  const auto linears = two_linears();
  const LearnedLayout layout(linears, {});
  AdamW adamw(layout, 0, layout.size());
  std::vector<float> values(layout.size(), 1.0F), gradient(layout.size());
  double m = 0, v = 0, value = 1;
  for (int t = 1; t <= 50; ++t) {
    const double g = std::sin(t) * 0.3;
    for (float& element : gradient) element = static_cast<float>(g);
    adamw.step(t, 1.0, gradient, values, pool);
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    value -= 5e-4 * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
  }
  EXPECT_NEAR(values[0], value, 1e-6);
}

TEST(AdamW, SlicesGiveTheSameBitsAsTheWhole) {
  ThreadPool pool(2);
  const auto linears = two_linears();
  const LearnedLayout layout(linears, {});
  std::vector<float> gradient(layout.size()), whole(layout.size(), 1.0F), parts = whole;
  AdamW all(layout, 0, layout.size());
  const int64_t cut = 37;
  AdamW left(layout, 0, cut), right(layout, cut, layout.size());
  for (int t = 1; t <= 5; ++t) {
    for (size_t i = 0; i < gradient.size(); ++i)
      gradient[i] = std::cos(static_cast<float>(i) * static_cast<float>(t));
    all.step(t, 1.0, gradient, whole, pool);
    left.step(t, 1.0, std::span(gradient).first(cut), std::span(parts).first(cut), pool);
    right.step(t, 1.0, std::span(gradient).subspan(cut), std::span(parts).subspan(cut), pool);
  }
  EXPECT_EQ(whole, parts);
}

TEST(SampleLoss, ByHand) {
  const at::Tensor student = at::tensor({1.F, 0.F, 0.F, 2.F}).view({2, 2});
  const at::Tensor normal = at::tensor({1.F, 0.F, 0.F, 1.F}).view({2, 2});
  const at::Tensor homologous = at::tensor({1.F, 1.F, 0.F, 2.F}).view({2, 2});
  // MSE 1/4 and 1/4; cosines 1 and (1/sqrt 2 + 1) / 2.
  const double expected = 0.25 + 0.25 - std::log(1.0) - std::log((1 / std::sqrt(2.0) + 1) / 2);
  EXPECT_NEAR(sample_loss(student, normal, homologous).item<double>(), expected, 1e-6);
}

TEST(SampleLoss, RelativeErrorsAreDividedByTheirTokensTarget) {
  const at::Tensor student = at::tensor({1.F, 0.F, 0.F, 20.F}).view({2, 2});
  const at::Tensor target = at::tensor({1.F, 1.F, 0.F, 10.F}).view({2, 2});
  LossSettings settings;
  settings.error = ErrorKind::relative;
  settings.homologous = 0;
  // Tokens: (1/2) / 1 and 50 / 50; cosines 1/sqrt 2 and 1.
  const double expected = (0.5 + 1) / 2 - std::log((1 / std::sqrt(2.0) + 1) / 2);
  EXPECT_NEAR(sample_loss(student, target, at::full({2, 2}, NAN), settings).item<double>(),
              expected, 1e-5);
}

TEST(SampleLoss, TargetsHaveTheirShares) {
  const at::Tensor student = at::randn({3, 4}), a = at::randn({3, 4}), b = at::randn({3, 4});
  const auto loss = [&](double normal, double homologous) {
    return sample_loss(student, a, b, {ErrorKind::absolute, normal, homologous}).item<double>();
  };
  EXPECT_NEAR(loss(2, 0.5), 2 * loss(1, 0) + 0.5 * loss(0, 1), 1e-5);
  EXPECT_EQ(loss(1, 1), sample_loss(student, a, b).item<double>());
}

TEST(Closeness, ByHand) {
  const at::Tensor output = at::tensor({3.F, 4.F, 0.F, 1.F}).view({2, 2});
  const at::Tensor target = at::tensor({3.F, 4.F, 1.F, 0.F}).view({2, 2});
  const Closeness closeness = measure_closeness(output, target);
  EXPECT_DOUBLE_EQ(closeness.squared_error, 2.0);
  EXPECT_DOUBLE_EQ(closeness.squared_target, 26.0);
  EXPECT_NEAR(closeness.cosine, 1.0, 1e-12);
  EXPECT_DOUBLE_EQ(closeness.tokens, 2.0);
}

TEST(MergeStatistics, AddsMeansAndKeepsMaxima) {
  std::vector<double> sum = {1, 5}, greatest = {1, 5};
  const std::vector<double> other = {2, 3};
  merge_statistics(Saliency::mean, sum, other);
  merge_statistics(Saliency::max, greatest, other);
  EXPECT_EQ(sum, (std::vector<double>{3, 8}));
  EXPECT_EQ(greatest, (std::vector<double>{2, 5}));
}

TEST(PackLinear, DequantizedEqualsTheFormulaWithRoundedVectors) {
  for (const test::Case shape : {test::Case{1, 3, 33, 9}, test::Case{1, 9, 1, 1},
                                 test::Case{1, 8, 64, 0}, test::Case{1, 5, 0, 17}}) {
    const FrozenLinear frozen = test::random_frozen(shape, 5);
    const LearnedLinear learned = test::random_learned(shape);
    const PackedLinear packed = pack_linear("w", frozen, learned);
    const auto half = [](const at::Tensor& t) { return t.to(at::kHalf).to(at::kFloat); };
    FrozenLinear rounded = frozen;
    rounded.row_mean = half(frozen.row_mean * learned.row_gain);
    rounded.code_scale = half(frozen.code_scale);
    const LearnedLinear folded = {half(learned.row_scale * learned.row_gain),
                                  at::ones({frozen.rows}), half(learned.col_gain)};
    const at::Tensor expected =
        test::expected_output(rounded, folded, at::eye(frozen.cols)).t().to(at::kFloat);
    const std::vector<float> weight = dequantize(packed);
    const at::Tensor actual =
        at::from_blob(const_cast<float*>(weight.data()), {frozen.rows, frozen.cols}, at::kFloat);
    EXPECT_TRUE(at::allclose(actual, expected, 1e-6, 1e-7));
  }
}

TEST(PackLinear, LearnedPartsTakeThePlaceOfWhatTheyBeganAs) {
  const test::Case shape = {1, 3, 33, 9};
  FrozenLinear frozen = test::random_frozen(shape, 5);
  LearnedLinear learned = test::random_learned(shape);
  learned.row_mean = at::rand({3});
  learned.code_scale = at::rand({3});
  learned.latents = at::randn({3, 33});
  learned.latents[1][2] = 0;  // counts as +1
  const PackedLinear packed = pack_linear("w", frozen, learned);
  frozen.signs = at::where(learned.latents >= 0, at::ones({}), -at::ones({})).to(at::kChar);
  frozen.row_mean = learned.row_mean;
  frozen.code_scale = learned.code_scale;
  const PackedLinear expected =
      pack_linear("w", frozen, {learned.row_scale, learned.row_gain, learned.col_gain});
  EXPECT_EQ(packed.signs, expected.signs);
  EXPECT_EQ(packed.row_mean, expected.row_mean);
  EXPECT_EQ(packed.code_scale, expected.code_scale);
}

TEST(PackLinear, ValueThatDoesNotFitFloat16IsNamed) {
  const FrozenLinear frozen = test::random_frozen({1, 3, 4, 1}, 5);
  LearnedLinear learned = test::random_learned({1, 3, 4, 1});
  learned.row_scale[1] = 1e6;
  try {
    pack_linear("block.q", frozen, learned);
    FAIL() << "accepted";
  } catch (const NumericError& error) {
    EXPECT_NE(std::string(error.what()).find("block.q.row_scale[1]"), std::string::npos);
  }
}

}  // namespace
}  // namespace bitmill
