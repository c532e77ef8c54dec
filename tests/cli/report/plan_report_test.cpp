// What `plan` says, by hand.

#include "cli/report/plan_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace bitmill {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

PlanCosts costs_by_hand() {
  PlanCosts costs;
  costs.embed_s = 1;
  costs.load_s = 2;
  costs.forward_s = 4;
  costs.prepare_s = 8;
  costs.epoch_s = 16;
  costs.pack_s = 32;
  return costs;
}

// At lag 4, twice: loaded 2, taught 2 x 4 + 8, trained 4 x 16, packed 32, forwarded 4; embedded 2.
constexpr double one_turn = 2 * (2 + 16 + 64 + 32 + 4) + 2;

// A sweep on one stage asks the teacher in each of its four bands; block 1 forwards in the last.
TEST(WorkOfLag, ASweepRepeatsTheTeacherAndWhatEveryVisitTakes) {
  const double sweep = 4 * (2 + 16 + 16 + 32) * 2 + 4 * 4 + 4 + 4 * 2;
  EXPECT_DOUBLE_EQ(work_of_lag(make_plan(2, 4, 1, 1, Walk::sweep), costs_by_hand()),
                   sweep / one_turn);
}

TEST(WorkOfLag, AWavefrontAsksTheTeacherOnce) {
  const double teacher = 3 * 4 * 2 + 3;  // forwards, and embedding, that are spared
  const double wavefront = 4 * (2 + 16 + 16 + 32) * 2 + 4 * 4 + 4 + 4 * 2 - teacher;
  EXPECT_DOUBLE_EQ(work_of_lag(make_plan(2, 4, 1, 1, Walk::wavefront), costs_by_hand()),
                   wavefront / one_turn);
  EXPECT_DOUBLE_EQ(work_of_lag(make_plan(2, 4, 4, 1, Walk::sweep), costs_by_hand()), 1);
}

// Four blocks in two turns on 2 x 2 ranks, and one that idles; a sample's stream is four bytes.
PlanRequest request() {
  PlanRequest one;
  one.work.blocks = 4;
  one.work.epochs = 2;
  one.work.lag = 1;
  one.work.batch = 4;
  one.work.samples = 8;
  one.work.seq_len = one.work.hidden = 1;
  one.work.unit_flops = 1;
  one.work.learned = 10;
  one.work.packed_bytes = 100;
  one.work.state_bytes = 10;
  one.work.kept_bytes = 5;
  one.machine.fixed_bytes = 1000;
  one.machine.link_bytes_per_s = one.machine.memory_bytes_per_s = 1e12;
  one.machine.read_bytes_per_s = one.machine.write_bytes_per_s = 1e12;
  one.ranks = 5;
  return one;
}

json report(const PlanRequest& one) {
  return json::parse(forecast_json(one, forecast(one, {2, 2}, Walk::sweep)).dump());
}

// Blocks 0 and 2 hand on three streams each of four own samples, block 1 as many; the last none. In
// each of 2 x 2 epochs two steps exchange the other half of one partial sum and of the values: 40
// bytes.
TEST(PlanReport, LinksAndExchangeOfEveryStageByHand) {
  const json all = report(request());
  const json& stages = all.at("per_stage");
  ASSERT_EQ(stages.size(), 2U);
  EXPECT_EQ(stages[0].at("link_bytes"), 2 * 3 * 16);
  EXPECT_EQ(stages[1].at("link_bytes"), 3 * 16);
  EXPECT_EQ(stages[1].at("next_stage"), 0);
  EXPECT_EQ(stages[1].at("first_rank"), 2);
  EXPECT_EQ(stages[0].at("exchange_bytes"), 2 * 2 * 2 * 40);
  EXPECT_EQ(all.at("link_bytes"), 2 * 3 * 16);
  EXPECT_EQ(all.at("per_rank")[3].at("link_bytes"), 3 * 16);
  EXPECT_EQ(all.at("link_of_sums").at("rate"), 1e12);
  EXPECT_EQ(all.at("link_of_sums").at("binds"), false);
  EXPECT_GT(all.at("link_of_streams").at("bytes_per_s"), 0);
  EXPECT_EQ(all.at("per_rank")[4].at("exchange_bytes"), 0);
  EXPECT_EQ(all.at("per_rank")[4].at("peak_bytes"), 1000);
}

// Both turns walk together: two blocks are live, and both may be writing.
TEST(PlanReport, DiskByHand) {
  PlanRequest one = request();
  json all = report(one);
  EXPECT_EQ(all.at("state_bytes"), 4 * 10);
  EXPECT_EQ(all.at("kept_stream_bytes"), 2 * 2 * 8 * 4);  // of each stage: student's and teacher's
  EXPECT_EQ(all.at("disk_bytes"), 2 * 4 * 100 + 4 * 10 + 2 * 2 * 8 * 4);
  EXPECT_EQ(all.at("result_bytes"), 5 + 4 * 100);
  EXPECT_EQ(all.at("scratch_bytes"), 0);
  one.work.stream_memory = 20;
  all = report(one);
  EXPECT_GT(all.at("scratch_bytes"), 0);
  EXPECT_EQ(all.at("per_rank")[4].at("scratch_bytes"), 0);
}

TEST(PlanReport, DeviceAndHostAreOneMemoryUnlessTheTableSaysOtherwise) {
  PlanRequest one = request();
  json all = report(one);
  EXPECT_EQ(all.at("one_memory"), true);
  EXPECT_EQ(all.at("host_bytes"), all.at("peak_bytes"));
  EXPECT_EQ(all.at("per_rank")[1].at("host_bytes"), all.at("per_rank")[1].at("peak_bytes"));
  one.machine.host_fixed_bytes = 7;
  one.work.weights = 30;
  one.work.device.attention_bytes = 11;
  one.machine.memory_bytes = 1000000;
  all = report(one);
  EXPECT_EQ(all.at("one_memory"), false);
  EXPECT_EQ(all.at("per_rank")[1].at("host_bytes"), 7 + 30 * 5 + 100)
      << "streams are on the device";
  EXPECT_EQ(all.at("device_attention_bytes"), 11);
  const int64_t streams = all.at("per_rank")[1].at("device_stream_bytes");
  EXPECT_GT(streams, 0);
  const int64_t block = all.at("per_rank")[1].at("peak_bytes").get<int64_t>() - 1000 - streams;
  EXPECT_GT(block, 0);
  one.machine.memory_bytes = 1000 + block + streams - 4;  // a sample less
  all = report(one);
  EXPECT_EQ(all.at("per_rank")[1].at("device_stream_bytes"), streams - 4);
  EXPECT_EQ(all.at("per_rank")[1].at("host_bytes"), 7 + 30 * 5 + 100 + 4);
  EXPECT_EQ(all.at("per_rank")[4].at("host_bytes"), 7);
  EXPECT_EQ(all.at("per_rank")[4].at("peak_bytes"), 1000);
}

TEST(PlanReport, ThePersonsTableHasARowForEveryStage) {
  PlanRequest one = request();
  const auto text = [&](const Mesh& mesh) {
    return describe_forecast(one, forecast(one, mesh, Walk::sweep));
  };
  EXPECT_THAT(text({2, 2}),
              AllOf(HasSubstr("device and host are one memory"), HasSubstr("to the next stage"),
                    HasSubstr("2 to 3"), HasSubstr("96 bytes"), HasSubstr("320 bytes")));
  EXPECT_THAT(text({1, 1}), Not(HasSubstr("to the next stage")));
  one.machine.host_fixed_bytes = 7;
  EXPECT_THAT(text({2, 2}),
              AllOf(HasSubstr("of the device ("), HasSubstr("of the host"), HasSubstr("host  ")));
}

}  // namespace
}  // namespace bitmill
