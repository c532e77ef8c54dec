// What is seen of a run from outside.

#include "pipeline/run_status.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.hpp"
#include "checkpoint/heartbeat.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class Status : public TinyJob {
 protected:
  RunStatus status(const std::string& work_dir) {
    return read_status(*files_, work_dir, {300ms, 10ms});
  }
};

TEST_F(Status, FolderWithoutARunIsRefused) {
  EXPECT_THROW(status(folder_ / "nothing"), UsageError);
  files_->make_directories(folder_ / "empty");
  EXPECT_THROW(status(folder_ / "empty"), UsageError);
}

TEST_F(Status, StoppedRunTellsHowFarItIsAndWhy) {
  QuantizeOptions o = options("out");
  o.epochs = 4;
  stop_early(o, 40);  // block 0 is packed, block 1 in its second epoch
  const RunStatus found = status(o.work_dir);
  EXPECT_EQ(found.phase, RunPhase::stopped);
  EXPECT_EQ(found.blocks_total, 2);
  EXPECT_EQ(found.blocks_done, 0);
  ASSERT_EQ(found.live.size(), 1U);
  EXPECT_EQ(found.live[0].block, 0);
  EXPECT_EQ(found.live[0].epoch, 3);
  EXPECT_TRUE(found.last_loss.has_value());
  EXPECT_GT(found.epoch_s.value(), 0);
  EXPECT_NEAR(found.eta_s.value(), 5 * *found.epoch_s, 1e-9);
  EXPECT_THAT(found.last_events.back(), HasSubstr("\"epoch\":2"));
  EXPECT_THAT(found.holder.value().outcome, HasSubstr("SIGTERM"));
}

TEST_F(Status, RunIsRunningWhileItsHeartBeats) {
  QuantizeOptions o = options("out");
  stop_early(o);
  const auto claim =
      Claim::take(*files_, o.work_dir, this_process("n1", "88"), {0ms, 5ms}, [](auto&) {});
  {
    const Heartbeat heart(*claim, 5ms);
    EXPECT_EQ(status(o.work_dir).phase, RunPhase::running);
    EXPECT_EQ(status(o.work_dir).holder.value().holder.job, "88");
  }
  EXPECT_EQ(status(o.work_dir).phase, RunPhase::stopped);
}

TEST_F(Status, FailedRunTellsItsFailure) {
  QuantizeOptions o = options("out");
  o.method.lr_scale = o.method.lr_gain = 1e30;
  EXPECT_THROW(run(o), NumericError);
  const RunStatus found = status(o.work_dir);
  EXPECT_EQ(found.phase, RunPhase::failed);
  EXPECT_THAT(found.failure, HasSubstr("block 0"));
}

TEST_F(Status, DoneRunIsDoneAlsoInACopy) {
  QuantizeOptions o = options("out");
  run(o);
  std::filesystem::copy(o.work_dir, folder_ / "copy", std::filesystem::copy_options::recursive);
  for (const std::string& work_dir : {o.work_dir, folder_ / "copy"}) {
    const RunStatus found = status(work_dir);
    EXPECT_EQ(found.phase, RunPhase::done);
    EXPECT_EQ(found.blocks_done, 2);
  }
}

}  // namespace
}  // namespace bitmill
