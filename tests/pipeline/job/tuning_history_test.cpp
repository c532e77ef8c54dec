#include "pipeline/job/tuning_history.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace bitmill {
namespace {

constexpr float infinite = std::numeric_limits<float>::infinity();

TEST(TuningHistory, EndsAfterTheLastEpochOrTwoWithoutGain) {
  EXPECT_FALSE((TuningHistory{{}, {2}}).has_ended(3, usual_patience));
  EXPECT_FALSE((TuningHistory{{3}, {2, 4}}).has_ended(3, usual_patience));
  EXPECT_TRUE((TuningHistory{{3, 3}, {2, 4, 3}}).has_ended(3, usual_patience));
  EXPECT_FALSE((TuningHistory{{3, 3}, {2, 4, 1}}).has_ended(3, usual_patience));
  EXPECT_TRUE((TuningHistory{{3, 3, 3}, {4, 3, 2, 1}}).has_ended(3, usual_patience));
}

TEST(TuningHistory, EndsWithAnEpochThatDivergedAndKeepsTheBestOneBefore) {
  const TuningHistory history{{3, 2, infinite}, {4, 2, 3, infinite}};
  EXPECT_TRUE(history.diverged());
  EXPECT_TRUE(history.has_ended(9, usual_patience));
  EXPECT_EQ(history.best(), 1);
  EXPECT_FALSE((TuningHistory{{3, 2}, {4, 2, 3}}).diverged());
}

}  // namespace
}  // namespace bitmill
