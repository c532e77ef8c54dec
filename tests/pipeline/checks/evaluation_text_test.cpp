#include "pipeline/checks/evaluation_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace bitmill {
namespace {

using testing::HasSubstr;

// Windows of 50 ids that count up: window i has ids from 1000 i on.
Windows counting(int64_t count) {
  Windows windows{count, 50, {}};
  for (int64_t i = 0; i < count * 50; ++i) {
    windows.ids.push_back(static_cast<int32_t>(i / 50 * 1000 + i % 50));
  }
  return windows;
}

TEST(CalibrationOverlap, NamesHowManyWindowsShareText) {
  EvaluationText evaluation;
  std::vector<int32_t> text;
  for (int32_t id = 1001; id < 1060; ++id) text.push_back(id);  // 49 of window 1
  evaluation.add(text);
  EXPECT_THAT(calibration_overlap(counting(4), evaluation),
              HasSubstr("1 of the 4 windows of --calib share text with --evaluation"));
  EXPECT_EQ(calibration_overlap(counting(1), evaluation), "");
}

}  // namespace
}  // namespace bitmill
