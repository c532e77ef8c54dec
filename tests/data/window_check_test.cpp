#include "data/window_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <numeric>

#include "base/error.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Tokens counted_up(int64_t size) {
  Tokens tokens;
  tokens.ids.resize(static_cast<size_t>(size));
  std::iota(tokens.ids.begin(), tokens.ids.end(), 0);
  return tokens;
}

Tokens ready_rows(std::vector<int32_t> ids, int64_t count) {
  const int64_t len = std::ssize(ids) / count;
  return {std::move(ids), count, len};
}

Windows every_window(const Tokens& tokens) {
  return calibration_windows(tokens, tokens.windows, tokens.window_len, 0);
}

std::string calibration_refusal(const Tokens& tokens, const Windows& windows) {
  try {
    check_enough_windows(tokens, windows);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(WindowCheck, WindowsAreDistinctByTheirTokens) {
  EXPECT_EQ(distinct_windows({4, 2, {1, 2, 3, 4, 1, 2, 2, 1}}), 3);
  EXPECT_EQ(distinct_windows({0, 2, {}}), 0);
}

TEST(WindowCheck, CopiesAreSaidAndRefusedWhereTheyAreMoreThanHalf) {
  const Tokens half = ready_rows({1, 2, 1, 2, 3, 4, 3, 4}, 4);
  EXPECT_EQ(calibration_refusal(half, every_window(half)), "not refused");
  EXPECT_THAT(calibration_notes(half, every_window(half)),
              ElementsAre(HasSubstr("only 2 of 4 windows are distinct")));
  const Tokens more = ready_rows({1, 2, 1, 2, 1, 2, 3, 4, 3, 4}, 5);
  EXPECT_THAT(calibration_refusal(more, every_window(more)),
              AllOf(HasSubstr("only 2 of the 5"), HasSubstr("without copies")));
}

// A text of one window gives the same one, however many are drawn.
TEST(WindowCheck, OneWindowManyTimesIsRefused) {
  const Tokens text = counted_up(8);
  EXPECT_THAT(calibration_refusal(text, calibration_windows(text, 3, 8, 0)),
              HasSubstr("only 1 of the 3"));
}

TEST(WindowCheck, ATextMayGiveSixteenWindowsForEachThatItHoldsSideBySide) {
  const Tokens text = counted_up(2 * 100 + 99);
  const Windows most = calibration_windows(text, 32, 100, 3);
  EXPECT_GE(2 * distinct_windows(most), 32) << "the case must not fail for its copies";
  EXPECT_EQ(calibration_refusal(text, most), "not refused");
  EXPECT_THAT(calibration_refusal(text, calibration_windows(text, 33, 100, 3)),
              AllOf(HasSubstr("299 tokens is too short for 33 windows of 100"),
                    HasSubstr("it holds 2 side by side"), HasSubstr("--samples 32")));
}

TEST(WindowCheck, WindowsThatShareTokensAreSaidOfACalibration) {
  const Tokens text = counted_up(100);
  EXPECT_THAT(calibration_notes(text, calibration_windows(text, 10, 10, 3)), IsEmpty());
  EXPECT_THAT(calibration_notes(text, calibration_windows(text, 11, 10, 3)),
              ElementsAre(AllOf(HasSubstr("11 windows of 10 tokens"), HasSubstr("holds 10"))));
}

TEST(WindowCheck, RowsThatEndOrBeginInOneTokenAreSaid) {
  std::vector<int32_t> ids(32);
  std::iota(ids.begin(), ids.end(), 0);
  std::fill(ids.begin() + 7, ids.begin() + 16, 2);   // the end of the first row: 9
  std::fill(ids.begin() + 16, ids.begin() + 23, 2);  // the begin of the second: 7, too few
  const Tokens padded = ready_rows(ids, 2);
  EXPECT_THAT(evaluation_notes(padded, evaluation_windows(padded, 16, 0)),
              ElementsAre(AllOf(HasSubstr("1 of 2 windows"), HasSubstr("with 2"),
                                HasSubstr("9 of 32 tokens"), HasSubstr("counts as text"))));
  Tokens text = padded;
  text.windows = text.window_len = 0;
  EXPECT_THAT(evaluation_notes(text, evaluation_windows(text, 16, 0)), IsEmpty());
}

}  // namespace
}  // namespace bitmill
