#include "base/random.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitmill {
namespace {

using ::testing::ElementsAre;

constexpr auto purpose1 = RandomPurpose::calibration_windows;

// Random123's kat_vectors: philox4x32-10, counter 0, key 0.
TEST(Random, ZeroCounterAndKeyGiveThePublishedVector) {
  EXPECT_THAT(random_bits(0, static_cast<RandomPurpose>(0), 0),
              ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
}

// From a Philox4x32-10 in Python that reproduces all three published vectors; counter
// (index low, index high, purpose, 0), key (seed low, seed high).
TEST(Random, SeedPurposeAndIndexEnterAsDocumented) {
  const uint64_t seed = 0x299f31d0a4093822, index = 0x85a308d3243f6a88;
  EXPECT_THAT(random_bits(1, purpose1, 0),
              ElementsAre(0x07071c12, 0x428264b6, 0x3909104b, 0x6da2bda2));
  EXPECT_THAT(random_bits(seed, purpose1, index),
              ElementsAre(0xef5e94d8, 0x6d26cdb5, 0xa56e9b0f, 0x78e2b471));
  EXPECT_THAT(random_bits(seed, RandomPurpose::test_data, index),
              ElementsAre(0xa2bab077, 0x100eb778, 0xa976f5c6, 0x6bb18158));
}

// (64 random bits * bound) >> 64, in Python's unbounded integers.
TEST(Random, BelowIsTheHighHalfOfTheProduct) {
  const uint64_t seed = 0x299f31d0a4093822, index = 0x85a308d3243f6a88;
  const auto below = [&](uint64_t bound) { return random_below(seed, purpose1, index, bound); };
  EXPECT_EQ(below(1), 0U);
  EXPECT_EQ(below(7), 6U);
  EXPECT_EQ(below(1000), 935U);
  EXPECT_EQ(below((uint64_t{1} << 32) + 1), 4015953113U);
  EXPECT_EQ(below((uint64_t{1} << 63) + 12345), 8624193640070353905U);
  EXPECT_EQ(below(UINT64_MAX), 17248387280140684724U);
  EXPECT_EQ(random_below(42, purpose1, 5, UINT64_MAX), 5664223073345818726U);
}

TEST(Random, BelowReachesEveryValueAndNoOther) {
  std::array<int, 10> seen = {};
  for (uint64_t i = 0; i < 10000; ++i) seen.at(random_below(3, purpose1, i, 10))++;
  for (const int count : seen) EXPECT_NEAR(count, 1000, 150);  // five standard deviations
}

TEST(Random, UnitIsTheUpper24BitsOfTheFirstWord) {
  EXPECT_EQ(random_unit(42, purpose1, 5), 0.30705809593200684F);
  for (uint64_t i = 0; i < 10000; ++i) {
    const float value = random_unit(7, purpose1, i);
    ASSERT_TRUE(value >= 0 && value < 1) << value;
  }
}

}  // namespace
}  // namespace bitmill
