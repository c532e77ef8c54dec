// Loss, optimiser, learned layout, packing.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "backend/learned_parts.hpp"
#include "backend/random_linear.hpp"
#include "base/error.hpp"
#include "format/packed_linear.hpp"
#include "method/adamw.hpp"
#include "method/grid.hpp"
#include "method/learned.hpp"
#include "method/loss.hpp"
#include "method/pack.hpp"
#include "method/saliency.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

std::vector<InitialLinear> two_linears() {
  return {{test::random_frozen({1, 5, 7, 3}, 1), at::full({5}, 2.0)},
          {test::random_frozen({1, 18, 4, 2}, 2), at::full({18}, 3.0)}};
}

std::vector<LearnedTensors> learned_of_all(const std::vector<InitialLinear>& linears,
                                           const MethodSettings& settings = {}) {
  std::vector<LearnedTensors> all;
  for (const InitialLinear& linear : linears) all.push_back(learned_of(linear, settings));
  return all;
}

TEST(LearnedLayout, SegmentsBeginOnCacheLinesAndGainsStartAtOne) {
  const auto linears = learned_of_all(two_linears());
  const LearnedLayout layout(linears);
  ASSERT_EQ(layout.segments().size(), 6U);
  for (const LearnedSegment& segment : layout.segments()) EXPECT_EQ(segment.offset % 16, 0);
  const at::Tensor flat = layout.initial_values(linears);
  const auto views = layout.views(flat);
  EXPECT_TRUE(at::equal(views[0][part::row_scale], at::full({5}, 2.0)));
  EXPECT_TRUE(at::equal(views[1][part::row_scale], at::full({18}, 3.0)));
  EXPECT_TRUE(at::equal(views[1][part::row_gain], at::ones({18})));
  EXPECT_TRUE(at::equal(views[1][part::col_gain], at::ones({4})));
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
  const auto learned = learned_of_all(linears, settings);
  const LearnedLayout layout(learned);
  ASSERT_EQ(layout.segments().size(), 12U);
  for (const LearnedSegment& segment : layout.segments()) {
    EXPECT_EQ(segment.offset >= layout.small_size(), segment.name == part::latents);
    EXPECT_EQ(segment.large, segment.name == part::latents);
    EXPECT_EQ(segment.window, segment.name == part::latents ? straight_through_window : 0.0F);
  }
  EXPECT_EQ(layout.segments().back().rate, 3e-2);
  const at::Tensor flat = layout.initial_values(learned);
  const auto views = layout.views(flat);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(at::equal(views[i][part::latents], linears[i].latents));
    EXPECT_TRUE(at::equal(views[i][part::row_mean], linears[i].frozen.row_mean));
    EXPECT_TRUE(at::equal(views[i][part::code_scale], linears[i].frozen.code_scale));
  }
}

// 3 and 33 elements, then 2 x 9 and 5: gaps of 13, 15, 14 and 11.
TEST(LearnedLayout, ClearingLeavesLargeSegmentsAlone) {
  const std::vector<LearnedTensors> linears = {{{"a", {3}, 1}, {"big", {2, 9}, 1, true}},
                                               {{"b", {33}, 1}, {"big", {5}, 1, true}}};
  const LearnedLayout layout(linears);
  ASSERT_EQ(layout.small_size(), 16 + 48);
  ASSERT_EQ(layout.size(), 16 + 48 + 32 + 16);
  const at::Tensor flat = at::full({layout.size()}, 7.0);
  layout.clear_small(flat);
  at::Tensor expected = at::zeros({layout.size()});
  expected.narrow(0, 64, 18).fill_(7);
  expected.narrow(0, 96, 5).fill_(7);
  EXPECT_TRUE(at::equal(flat, expected)) << flat;
  EXPECT_TRUE(at::equal(layout.views(flat)[1]["big"], at::full({5}, 7.0)));
  EXPECT_EQ(layout.names(0), (LearnedNames{"a", "big"}));
}

// What is counted before there is a linear is what is learned of it.
TEST(LearnedOf, AShapeDeclaresWhatALinearOfThatShapeDoes) {
  MethodSettings settings;
  settings.learned = {true, true, true};
  InitialLinear linear = two_linears()[0];
  linear.latents = at::randn({5, 7});
  const LearnedTensors expected = learned_of(linear, settings), actual = learned_of(5, 7, settings);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(actual[i].name, expected[i].name);
    EXPECT_EQ(actual[i].shape, expected[i].shape);
    const at::Tensor& first = expected[i].first;
    if (!first.defined()) continue;
    EXPECT_EQ(first.sizes().vec(), expected[i].shape) << expected[i].name;
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
  const LearnedLayout layout(learned_of_all(two_linears()));
  AdamW adamw(layout, 0, layout.size());
  const at::Tensor values = at::ones({layout.size()});
  adamw.step(1, 1.0, at::full({layout.size()}, -3.0), 1, values, pool);
  EXPECT_NEAR(floats_of(values)[layout.segments()[0].offset], 1.0 + 5e-4, 1e-7);
  EXPECT_NEAR(floats_of(values)[layout.segments()[1].offset], 1.0 + 1e-3, 1e-7);
}

// A backend may leave the window of learned signs to the optimiser.
TEST(AdamW, GradientsOutsideTheWindowCountAsZero) {
  ThreadPool pool(1);
  const at::Tensor latents = at::tensor({0.F, -1.49F, 1.49F, 1.5F, -1.5F, 7.F});
  const std::vector<LearnedTensors> linears = {
      {{"plain", {6}, 1e-3, false, latents},
       {"latents", {6}, 3e-2, true, latents, straight_through_window}}};
  const LearnedLayout layout(linears);
  AdamW adamw(layout, 0, layout.size());
  const at::Tensor values = layout.initial_values(linears);
  adamw.step(1, 1.0, at::full({layout.size()}, 2.0), 1, values, pool);
  const auto views = layout.views(values);
  const at::Tensor moved = views[0]["latents"] != latents;
  EXPECT_TRUE(at::equal(moved, at::tensor({1, 1, 1, 0, 0, 0}) == 1)) << views[0]["latents"];
  EXPECT_TRUE((views[0]["plain"] != latents).all().item<bool>());
  EXPECT_EQ(floats_of(adamw.first_moment())[layout.segments()[1].offset + 3], 0.0F);
}

TEST(AdamW, EqualsTheFormulaInFloat64OverManySteps) {
  ThreadPool pool(2);
  const LearnedLayout layout(learned_of_all(two_linears()));
  AdamW adamw(layout, 0, layout.size());
  const at::Tensor values = at::ones({layout.size()});
  double m = 0, v = 0, value = 1;
  for (int t = 1; t <= 50; ++t) {
    const double g = std::sin(t) * 0.3;
    // The gradient is the mean over what was summed.
    adamw.step(t, 1.0, at::full({layout.size()}, 4 * g), 4, values, pool);
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    value -= 5e-4 * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
  }
  EXPECT_NEAR(floats_of(values)[0], value, 1e-6);
}

TEST(AdamW, SlicesGiveTheSameBitsAsTheWhole) {
  ThreadPool pool(2);
  const LearnedLayout layout(learned_of_all(two_linears()));
  const at::Tensor whole = at::ones({layout.size()}), parts = at::ones({layout.size()});
  AdamW all(layout, 0, layout.size());
  const int64_t cut = 37, rest = layout.size() - cut;
  AdamW left(layout, 0, cut), right(layout, cut, layout.size());
  for (int t = 1; t <= 5; ++t) {
    const at::Tensor sum = at::cos(at::arange(layout.size()).to(at::kFloat) * t);
    all.step(t, 1.0, sum, 3, whole, pool);
    left.step(t, 1.0, sum.narrow(0, 0, cut), 3, parts.narrow(0, 0, cut), pool);
    right.step(t, 1.0, sum.narrow(0, cut, rest), 3, parts.narrow(0, cut, rest), pool);
  }
  EXPECT_TRUE(at::equal(whole, parts));
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
  const at::Tensor sum = at::tensor({1.0, 5.0}), greatest = sum.clone();
  const at::Tensor other = at::tensor({2.0, 3.0});
  merge_statistics(Saliency::mean, sum, other);
  merge_statistics(Saliency::max, greatest, other);
  EXPECT_TRUE(at::equal(sum, at::tensor({3.0, 8.0})));
  EXPECT_TRUE(at::equal(greatest, at::tensor({2.0, 5.0})));
}

TEST(PackLinear, DequantizedEqualsTheFormulaWithRoundedVectors) {
  for (const test::Case shape : {test::Case{1, 3, 33, 9}, test::Case{1, 9, 1, 1},
                                 test::Case{1, 8, 64, 0}, test::Case{1, 5, 0, 17}}) {
    const FrozenLinear frozen = test::random_frozen(shape, 5);
    const LearnedLinear learned = test::random_learned(shape);
    const PackedLinear packed = pack_linear("w", frozen, learned);
    const auto half = [](const at::Tensor& t) { return t.to(at::kHalf).to(at::kFloat); };
    FrozenLinear rounded = frozen;
    rounded.row_mean = half(frozen.row_mean * learned[part::row_gain]);
    rounded.code_scale = half(frozen.code_scale);
    const LearnedLinear folded = {
        {part::row_scale, half(learned[part::row_scale] * learned[part::row_gain])},
        {part::row_gain, at::ones({frozen.rows})},
        {part::col_gain, half(learned[part::col_gain])}};
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
  const LearnedLinear scales = test::random_learned(shape);
  LearnedLinear learned = scales;
  const at::Tensor latents = at::randn({3, 33});
  latents[1][2] = 0;  // counts as +1
  learned.set(part::row_mean, at::rand({3}));
  learned.set(part::code_scale, at::rand({3}));
  learned.set(part::latents, latents);
  const PackedLinear packed = pack_linear("w", frozen, learned);
  frozen.signs = at::where(latents >= 0, at::ones({}), -at::ones({})).to(at::kChar);
  frozen.row_mean = learned[part::row_mean];
  frozen.code_scale = learned[part::code_scale];
  const PackedLinear expected = pack_linear("w", frozen, scales);
  EXPECT_EQ(packed.signs, expected.signs);
  EXPECT_EQ(packed.row_mean, expected.row_mean);
  EXPECT_EQ(packed.code_scale, expected.code_scale);
}

TEST(PackLinear, ValueThatDoesNotFitFloat16IsNamed) {
  const FrozenLinear frozen = test::random_frozen({1, 3, 4, 1}, 5);
  const LearnedLinear learned = test::random_learned({1, 3, 4, 1});
  learned[part::row_scale][1] = 1e6;
  try {
    pack_linear("block.q", frozen, learned);
    FAIL() << "accepted";
  } catch (const NumericError& error) {
    EXPECT_NE(std::string(error.what()).find("block.q.row_scale[1]"), std::string::npos);
  }
}

}  // namespace
}  // namespace bitmill
