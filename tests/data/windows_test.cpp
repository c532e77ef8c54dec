#include "data/windows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>

#include "base/error.hpp"
#include "base/random.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Ids 0, 1, 2, ...: an id is its own position.
Tokens counting_text(int64_t size) {
  Tokens tokens;
  tokens.ids.resize(static_cast<size_t>(size));
  std::iota(tokens.ids.begin(), tokens.ids.end(), 0);
  return tokens;
}

Tokens counting_windows(int64_t windows, int64_t window_len) {
  Tokens tokens = counting_text(windows * window_len);
  tokens.windows = windows;
  tokens.window_len = window_len;
  return tokens;
}

std::string refusal_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(CalibrationWindows, AreConsecutiveTokensAtPositionsOfTheSeed) {
  const Windows windows = calibration_windows(counting_text(100), 20, 8, 42);
  ASSERT_EQ(windows.count, 20);
  for (int64_t i = 0; i < windows.count; ++i) {
    const auto window = windows.window(i);
    const uint64_t begin =
        random_below(42, RandomPurpose::calibration_windows, static_cast<uint64_t>(i), 93);
    for (size_t t = 0; t < 8; ++t) EXPECT_EQ(window[t], static_cast<int32_t>(begin + t));
  }
}

TEST(CalibrationWindows, ReachTheFirstAndTheLastPosition) {
  const Windows windows = calibration_windows(counting_text(10), 200, 8, 1);
  std::set<int32_t> begins;
  for (int64_t i = 0; i < windows.count; ++i) begins.insert(windows.window(i)[0]);
  EXPECT_THAT(begins, ElementsAre(0, 1, 2));
}

TEST(CalibrationWindows, MoreSamplesKeepTheFirstOnes) {
  const Windows few = calibration_windows(counting_text(1000), 3, 8, 5);
  const Windows more = calibration_windows(counting_text(1000), 9, 8, 5);
  EXPECT_TRUE(std::equal(few.ids.begin(), few.ids.end(), more.ids.begin()));
}

TEST(CalibrationWindows, OfAFileAreItsFirstRowsCutToLength) {
  const Windows windows = calibration_windows(counting_windows(3, 4), 2, 3, 9);
  EXPECT_THAT(windows.ids, ElementsAre(0, 1, 2, 4, 5, 6));
}

TEST(CalibrationWindows, ATextOfExactlyOneWindowIsThatWindow) {
  EXPECT_THAT(calibration_windows(counting_text(3), 2, 3, 9).ids, ElementsAre(0, 1, 2, 0, 1, 2));
}

TEST(CalibrationWindows, TooLittleTextIsRefusedWithTheFigures) {
  EXPECT_THAT(refusal_of([] { calibration_windows(counting_text(812), 1, 2048, 0); }),
              AllOf(HasSubstr("812"), HasSubstr("2048"), HasSubstr("--seq-len")));
}

TEST(CalibrationWindows, FilesWithFewerOrShorterWindowsAreRefusedWithTheFigures) {
  EXPECT_THAT(refusal_of([] { calibration_windows(counting_windows(3, 4), 5, 4, 0); }),
              AllOf(HasSubstr("3 windows"), HasSubstr("the 5"), HasSubstr("--samples")));
  EXPECT_THAT(refusal_of([] { calibration_windows(counting_windows(3, 4), 3, 6, 0); }),
              AllOf(HasSubstr("windows of 4"), HasSubstr("the 6"), HasSubstr("--seq-len")));
}

TEST(CalibrationWindows, CountAndLengthMustBePositive) {
  EXPECT_THAT(refusal_of([] { calibration_windows(counting_text(9), 0, 4, 0); }),
              HasSubstr("--samples is 0"));
  EXPECT_THAT(refusal_of([] { calibration_windows(counting_text(9), 1, -4, 0); }),
              HasSubstr("--seq-len is -4"));
}

// An id is a position.
TEST(PartedWindows, NoPositionThatIsHeldOutLiesInATrainingWindow) {
  struct Case {
    int64_t tokens, count, held_out, seq_len;
  };
  for (const Case& one :
       {Case{400, 13, 3, 9}, Case{16, 40, 1, 8}, Case{17, 40, 39, 8}, Case{100, 2, 1, 1}}) {
    for (const uint64_t seed : {0, 1, 2, 3}) {
      const Windows windows =
          parted_windows(counting_text(one.tokens), one.count, one.held_out, one.seq_len, seed);
      ASSERT_EQ(windows.count, one.count);
      ASSERT_EQ(std::ssize(windows.ids), one.count * one.seq_len);
      const auto held_out = windows.ids.end() - one.held_out * one.seq_len;
      EXPECT_LT(*std::max_element(windows.ids.begin(), held_out),
                *std::min_element(held_out, windows.ids.end()))
          << one.tokens << " tokens, seed " << seed;
    }
  }
}

TEST(PartedWindows, OfATextReachAllOfBothPartsWhoseLengthsAreAsTheNumbersOfWindows) {
  const Windows windows = parted_windows(counting_text(100), 2000, 500, 5, 7);
  const std::set<int32_t> train(windows.ids.begin(), windows.ids.begin() + 1500 * 5);
  const std::set<int32_t> held_out(windows.ids.begin() + 1500 * 5, windows.ids.end());
  EXPECT_EQ(*train.begin(), 0);
  EXPECT_EQ(*train.rbegin(), 74);
  EXPECT_EQ(*held_out.begin(), 75);
  EXPECT_EQ(*held_out.rbegin(), 99);
}

TEST(PartedWindows, DependOnTheSeedAndOnNothingElse) {
  const auto ids = [](uint64_t seed) {
    return parted_windows(counting_text(400), 13, 3, 9, seed).ids;
  };
  EXPECT_EQ(ids(4), ids(4));
  EXPECT_NE(ids(4), ids(5));
}

TEST(PartedWindows, OfAFileAreItsFirstRowsWhateverIsHeldOut) {
  EXPECT_THAT(parted_windows(counting_windows(4, 3), 3, 1, 2, 9).ids,
              ElementsAre(0, 1, 3, 4, 6, 7));
  EXPECT_THAT(refusal_of([] { parted_windows(counting_windows(3, 4), 5, 1, 4, 0); }),
              AllOf(HasSubstr("3 windows"), HasSubstr("the 5"), HasSubstr("--samples")));
}

TEST(PartedWindows, ATextOfLessThanTwoWindowsIsRefusedWithTheFigures) {
  EXPECT_THAT(refusal_of([] { parted_windows(counting_text(15), 4, 1, 8, 0); }),
              AllOf(HasSubstr("15 tokens"), HasSubstr("two windows of 8"),
                    HasSubstr("--seq-len 7 or less")));
}

TEST(ShuffledWindows, AreTheSameWindowsInAnOrderOfTheSeed) {
  const auto shuffled = [](int64_t count, uint64_t seed) {
    Windows windows = calibration_windows(counting_windows(20, 2), 20, 2, 0);
    shuffle_windows(windows, count, seed);
    return windows.ids;
  };
  const std::vector<int32_t> plain = calibration_windows(counting_windows(20, 2), 20, 2, 0).ids;
  EXPECT_EQ(shuffled(20, 3), shuffled(20, 3));
  EXPECT_NE(shuffled(20, 3), shuffled(20, 4));
  EXPECT_NE(shuffled(20, 3), plain);
  const std::vector<int32_t> one = shuffled(20, 3);
  std::set<int32_t> firsts;
  for (size_t i = 0; i < one.size(); i += 2) {
    EXPECT_EQ(one[i + 1], one[i] + 1) << "a window was torn apart";
    firsts.insert(one[i]);
  }
  EXPECT_EQ(firsts.size(), 20u);
  // The windows behind the first `count` stay.
  const std::vector<int32_t> part = shuffled(5, 3);
  EXPECT_TRUE(std::equal(part.begin() + 10, part.end(), plain.begin() + 10));
  EXPECT_NE(part, plain);
}

TEST(EvaluationWindows, OfATextFollowEachOtherAndLeaveTheRest) {
  const Windows windows = evaluation_windows(counting_text(11), 3, 0);
  EXPECT_EQ(windows.count, 3);
  EXPECT_THAT(windows.ids, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
}

TEST(EvaluationWindows, AreAtMostMaxWindows) {
  EXPECT_THAT(evaluation_windows(counting_text(11), 3, 2).ids, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(evaluation_windows(counting_text(11), 3, 100).count, 3);
}

TEST(EvaluationWindows, OfAFileAreItsRowsCutToLength) {
  EXPECT_THAT(evaluation_windows(counting_windows(2, 3), 2, 0).ids, ElementsAre(0, 1, 3, 4));
  EXPECT_THAT(evaluation_windows(counting_windows(2, 3), 2, 1).ids, ElementsAre(0, 1));
}

TEST(EvaluationWindows, TooLittleTextIsRefusedWithTheFigures) {
  EXPECT_THAT(refusal_of([] { evaluation_windows(counting_text(7), 8, 0); }),
              AllOf(HasSubstr("7 tokens"), HasSubstr("window of 8")));
  EXPECT_THAT(refusal_of([] { evaluation_windows(counting_windows(2, 3), 4, 0); }),
              AllOf(HasSubstr("windows of 3"), HasSubstr("the 4")));
}

TEST(Windows, HashDependsOnIdsAndShape) {
  const Windows windows{2, 3, {1, 2, 3, 4, 5, 6}};
  EXPECT_EQ(windows.hash(), (Windows{2, 3, {1, 2, 3, 4, 5, 6}}).hash());
  EXPECT_NE(windows.hash(), (Windows{3, 2, {1, 2, 3, 4, 5, 6}}).hash());
  EXPECT_NE(windows.hash(), (Windows{2, 3, {1, 2, 3, 4, 5, 7}}).hash());
}

}  // namespace
}  // namespace bitmill
