#include "kernels/causal_softmax.hpp"

#include <gtest/gtest.h>

#include "kernels/causal_softmax_checks.hpp"
#include "kernels/counted_sectors.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class CausalSoftmax : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(CausalSoftmax, EveryOddShapeIsNearTheFormulasInFloat64InEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_softmax<DeviceArray>();
  }
}

TEST_F(CausalSoftmax, RowsLongerThanWhatIsKeptAreNearTheFormulasInEveryOrder) {
  for (const uint64_t seed : {1, 2, 3}) {
    emulation::settings().seed = seed;
    check_long_softmax<DeviceArray>();
  }
}

// Two positions of two heads: exp is 1, 1 and 3.
TEST_F(CausalSoftmax, TwoPositionsByHand) {
  const float log3 = std::log(3.0F) * 2;
  const SoftmaxCase problem{float32,
                            {4, 2, 4, 2, 0},
                            0.5F,
                            {5, NAN, 0, 0, -9, NAN, 0, 0, 2, 2, 0, 0, 0, log3, 0, 0},
                            {7, NAN, 0, 0, 1, NAN, 0, 0, 0, 4, 0, 0, 4, 8, 0, 0}};
  const SoftmaxOut got = softmax_on_device<DeviceArray>(problem);
  EXPECT_LE(largest_distance(got.p, {1, 0, 1, 0, 0.5, 0.5, 0.25, 0.75}), 1e-6);
  EXPECT_LE(largest_distance(got.of_scores, {0, 0, 0, 0, -0.5, 0.5, -0.375, 0.375}), 1e-6);
}

TEST_F(CausalSoftmax, LargeScoresDoNotOverflow) {
  SoftmaxCase problem{float32, {1, 4, 4, 1, 3}, 1, {-3e38F, 1000, 3e38F, 999}, {1, 2, 3, 4}};
  EXPECT_EQ(softmax_on_device<DeviceArray>(problem).p, (std::vector<float>{0, 0, 1, 0}));
  problem.scores = {-1000, -1000, -1000, -1000};
  EXPECT_EQ(softmax_on_device<DeviceArray>(problem).p, (std::vector<float>(4, 0.25)));
}

// Training has to see it: the loss becomes NaN, too.
TEST_F(CausalSoftmax, ARowThatSeesNaNOrInfinityBecomesNaN) {
  for (const float bad : {NAN, INFINITY}) {
    SoftmaxCase problem = make_softmax_case(float32, {2, 600, 600, 1, 598});
    problem.scores[600 + 550] = bad;
    const SoftmaxOut got = softmax_on_device<DeviceArray>(problem);
    for (const int64_t key : {0, 550, 599}) {
      EXPECT_TRUE(std::isnan(got.p[600 + key])) << key;
      EXPECT_TRUE(std::isnan(got.of_scores[600 + key])) << key;
      EXPECT_FALSE(std::isnan(got.p[key])) << key;
    }
  }
}

TEST_F(CausalSoftmax, ImpossibleShapesAreRefused) {
  const kernels::ScoreRows good = {1, 4, 4, 1, 0};
  for (const auto& [what, change] :
       {std::pair{"rows", +[](kernels::ScoreRows& shape) { shape.rows = -1; }},
        {"too many rows", +[](kernels::ScoreRows& shape) { shape.rows = int64_t{1} << 31; }},
        {"keys", +[](kernels::ScoreRows& shape) { shape.keys = -1; }},
        {"keys beyond their room", +[](kernels::ScoreRows& shape) { shape.keys = 5; }},
        {"room", +[](kernels::ScoreRows& shape) { shape.row_floats = 6; }},
        {"group", +[](kernels::ScoreRows& shape) { shape.group = 0; }},
        {"first", +[](kernels::ScoreRows& shape) { shape.first = -1; }}}) {
    kernels::ScoreRows shape = good;
    change(shape);
    EXPECT_EQ(kernels::causal_softmax({nullptr, shape, 1, float32}, nullptr),
              kernels::cudaErrorInvalidValue)
        << what;
    EXPECT_EQ(kernels::causal_softmax_gradient({nullptr, nullptr, shape, 1, float32}, nullptr),
              kernels::cudaErrorInvalidValue)
        << what;
  }
}

// Of every row: the scores that are seen are read, all keys are written. Rows of 2,048 keys, as
// long as those of a tile at 70B.
TEST_F(CausalSoftmax, SectorsAreWithinATwentiethOfTheMinimum) {
  for (const kernels::Element element : {float32, bfloat16}) {
    const SoftmaxCase problem = make_softmax_case(element, {8, 2048, 2048, 2, 1500});
    std::vector<int64_t> arrays;
    for (int64_t row = 0; row < 8; ++row) {
      // S forward; S and dP backward. P; P and dS.
      arrays.insert(arrays.end(), 3, 4 * seen_keys(problem.shape, row));
      arrays.insert(arrays.end(), 3, 2048 * kernels::bytes_of(element));
    }
    expect_few_sectors([&] { softmax_on_device<DeviceArray>(problem); }, arrays);
  }
}

// Beyond what is kept, S is read twice forward; S and dP backward.
TEST_F(CausalSoftmax, SectorsOfALongRowAreThoseOfTheHeader) {
  const int64_t keys = 2 * kernels::kept_scores;
  const SoftmaxCase problem = make_softmax_case(bfloat16, {1, keys, keys, 1, keys - 1});
  const int64_t forward = 4 * (keys + keys / 2), backward = 4 * (keys + keys * 3 / 4);
  expect_few_sectors([&] { softmax_on_device<DeviceArray>(problem); },
                     {forward, backward, backward, 2 * keys, 2 * keys, 2 * keys});
}

}  // namespace
}  // namespace bitmill
