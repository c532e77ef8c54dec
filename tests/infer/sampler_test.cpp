#include "infer/sampler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/error.hpp"

namespace bitmill {
namespace {

using Logits = std::vector<float>;

// How often each token is drawn; every draw is the first of a sampler of its own seed.
std::map<int32_t, int> draws(SamplerSettings settings, const Logits& logits, int count) {
  std::map<int32_t, int> times;
  for (int seed = 0; seed < count; ++seed) {
    settings.seed = static_cast<uint64_t>(seed);
    ++times[Sampler(settings, {}, std::ssize(logits)).pick(logits)];
  }
  return times;
}

std::set<int32_t> drawn(const SamplerSettings& settings, const Logits& logits) {
  std::set<int32_t> ids;
  for (const auto& [id, times] : draws(settings, logits, 2000)) ids.insert(id);
  return ids;
}

// Probabilities 0.5, 0.3, 0.15, 0.05, not in this order.
const Logits four = {std::log(0.15F), std::log(0.5F), std::log(0.05F), std::log(0.3F)};

TEST(Sampler, GreedyTakesTheLargestAndOfEqualOnesTheFirst) {
  Sampler sampler({}, {}, 4);
  EXPECT_EQ(sampler.pick(Logits{1, 3, 3, 2}), 1);
  EXPECT_EQ(sampler.pick(Logits{-1, -3, -2, -0.5}), 3);
}

TEST(Sampler, DrawsFollowTheProbabilities) {
  const int count = 20000;
  const auto times = draws({.temperature = 1}, four, count);
  for (const auto& [id, expected] :
       std::map<int32_t, double>{{1, 0.5}, {3, 0.3}, {0, 0.15}, {2, 0.05}}) {
    const double deviation = std::sqrt(expected * (1 - expected) / count);
    EXPECT_NEAR(times.at(id) / static_cast<double>(count), expected, 5 * deviation) << id;
  }
}

TEST(Sampler, TheTemperatureIsTheExponentOfTheProbabilities) {
  const int count = 20000;
  const auto times = draws({.temperature = 0.5}, four, count);  // squares: 0.25 of 0.365
  EXPECT_NEAR(times.at(1) / static_cast<double>(count), 0.25 / 0.365, 0.02);
  EXPECT_NEAR(draws({.temperature = 1000}, four, count).at(2) / static_cast<double>(count), 0.25,
              0.02);
}

// Logits over these temperatures are infinite.
TEST(Sampler, ATinyTemperatureIsAlmostGreedy) {
  for (const double temperature : {1e-300, 1e-310}) {
    EXPECT_THAT(drawn({.temperature = temperature}, {3e8F, 1, -3e8F, 2e8F}),
                testing::ElementsAre(0));
    EXPECT_THAT(drawn({.temperature = temperature, .top_p = 0.9}, {-7, -2, -2.5F}),
                testing::ElementsAre(1));
  }
}

TEST(Sampler, TopKKeepsTheMostLikely) {
  EXPECT_THAT(drawn({.temperature = 1, .top_k = 1}, four), testing::ElementsAre(1));
  EXPECT_THAT(drawn({.temperature = 1, .top_k = 3}, four), testing::ElementsAre(0, 1, 3));
  EXPECT_THAT(drawn({.temperature = 1, .top_k = 99}, four), testing::ElementsAre(0, 1, 2, 3));
}

TEST(Sampler, TopPKeepsTheShortestFrontThatReachesIt) {
  EXPECT_THAT(drawn({.temperature = 1, .top_p = 0.01}, four), testing::ElementsAre(1));
  EXPECT_THAT(drawn({.temperature = 1, .top_p = 0.49}, four), testing::ElementsAre(1));
  EXPECT_THAT(drawn({.temperature = 1, .top_p = 0.6}, four), testing::ElementsAre(1, 3));
  EXPECT_THAT(drawn({.temperature = 1, .top_p = 0.94}, four), testing::ElementsAre(0, 1, 3));
}

TEST(Sampler, TopPCountsWhatTopKLeft) {
  // Of the first two, 0.5 is 0.625.
  EXPECT_THAT(drawn({.temperature = 1, .top_k = 2, .top_p = 0.6}, four), testing::ElementsAre(1));
}

TEST(Sampler, MinPIsRelativeToTheMostLikely) {
  EXPECT_THAT(drawn({.temperature = 1, .min_p = 0.2}, four), testing::ElementsAre(0, 1, 3));
  EXPECT_THAT(drawn({.temperature = 1, .min_p = 0.7}, four), testing::ElementsAre(1));
}

TEST(Sampler, ThePenaltyDividesPositiveLogitsAndMultipliesNegativeOnes) {
  const SamplerSettings settings{.repetition_penalty = 2};
  const std::vector<int32_t> prompt = {0};
  EXPECT_EQ(Sampler(settings, prompt, 2).pick(Logits{3, 2}), 1);
  EXPECT_EQ(Sampler(settings, prompt, 2).pick(Logits{-2, -3}), 1);
  EXPECT_EQ(Sampler(settings, prompt, 2).pick(Logits{5, 2}), 0);
  Sampler sampler(settings, {}, 2);
  EXPECT_EQ(sampler.pick(Logits{3, 2}), 0);
  EXPECT_EQ(sampler.pick(Logits{3, 2}), 1) << "what was picked counts as well";
}

TEST(Sampler, ASeedGivesTheSameTokensAndAnotherOneOthers) {
  const Logits flat(1000, 0.0F);
  const auto text = [&](uint64_t seed) {
    Sampler sampler({.temperature = 1, .seed = seed}, {}, std::ssize(flat));
    std::vector<int32_t> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(sampler.pick(flat));
    return ids;
  };
  EXPECT_EQ(text(7), text(7));
  EXPECT_NE(text(7), text(8));
  const auto ids = text(7);
  EXPECT_GT(std::set<int32_t>(ids.begin(), ids.end()).size(), 15u) << "draws must differ";
}

TEST(Sampler, ALogitThatIsNotFiniteIsAnErrorThatNamesTheToken) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const double temperature : {0.0, 1.0}) {
      Sampler sampler({.temperature = temperature}, {}, 3);
      try {
        sampler.pick(Logits{0, bad, 1});
        FAIL();
      } catch (const NumericError& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("token 1 is"));
      }
    }
  }
}

}  // namespace
}  // namespace bitmill
