#include "pipeline/folder/loss_log.hpp"

#include <gtest/gtest.h>

#include "memory_files.hpp"

namespace bitmill {
namespace {

LossLog log_of(const std::string& lines) {
  MemoryFiles files;
  files.put("/run/blocks.jsonl", lines);
  return read_loss_log(files, "/run");
}

TEST(LossLog, HasTheBaseAndEveryMeasurementOfPreprocess) {
  const LossLog log = log_of(
      "{\"block\": 0, \"epoch\": 0, \"steps\": 5, \"loss\": 3.5, \"held_out\": 3.25, "
      "\"held_out_before\": 4.0}\n"
      "{\"block\": 0, \"epoch\": 1, \"steps\": 8, \"loss\": 3.0, \"held_out\": 2.5, "
      "\"held_out_before\": 4.0}\n");
  EXPECT_TRUE(log.counts_steps);
  ASSERT_EQ(log.points.size(), 3U);
  EXPECT_EQ(log.points[0].at, 0);
  EXPECT_EQ(log.points[0].loss, std::nullopt);
  EXPECT_EQ(log.points[0].held_out, 4.0);
  EXPECT_EQ(log.points[2].at, 8);
  EXPECT_EQ(log.points[2].loss, 3.0);
  EXPECT_EQ(log.points[2].held_out, 2.5);
}

// An epoch that diverged has null; of two lines about one epoch the later counts; the rest is no
// line of such a run.
TEST(LossLog, CountsTheEpochsOfTuneAndPassesOverOtherLines) {
  const LossLog log = log_of(
      "{\"block\": 0, \"epoch\": 0, \"loss\": 1.0, \"held_out\": 1.0}\n"
      "{\"block\": 0, \"epoch\": 0, \"loss\": 0.5, \"held_out\": 0.75, "
      "\"held_out_before\": 1.5}\n"
      "{\"block\": 0, \"epoch\": 1, \"loss\": null, \"held_out\": null}\n"
      "{\"block\": 3, \"turn\": 0, \"epoch\": 1, \"loss\": 9}\n"
      "{\"block\": 3, \"event\": \"packed\"}\n{cut\n[]\n");
  EXPECT_FALSE(log.counts_steps);
  ASSERT_EQ(log.points.size(), 3U);
  EXPECT_EQ(log.points[0].at, 0);
  EXPECT_EQ(log.points[0].held_out, 1.5);
  EXPECT_EQ(log.points[1].at, 1);
  EXPECT_EQ(log.points[1].loss, 0.5);
  EXPECT_EQ(log.points[2].at, 2);
  EXPECT_EQ(log.points[2].held_out, std::nullopt);
  EXPECT_TRUE(log_of("").points.empty());
}

}  // namespace
}  // namespace bitmill
