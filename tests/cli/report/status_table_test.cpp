#include "cli/report/status_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(StatusTable, OfARunThatTunesHasWordsOfItsOwn) {
  RunStatus status;
  status.job = "tune";
  status.blocks_total = 1;
  status.live.push_back({0, 3});
  status.tuning = TuningStatus{3, 6, 1.12};
  status.last_loss = 1.25;
  status.eta_s = 90;
  const std::string text = status_table(status);
  EXPECT_THAT(text, AllOf(HasSubstr("epoch 3 of at most 6 · held-out KL 1.12 nats"),
                          HasSubstr("training KL"), HasSubstr("at most about 1 min 30 s"),
                          Not(HasSubstr("packed")), Not(HasSubstr("block"))));
}

TEST(StatusTable, OfARunThatQuantizesCountsItsBlocks) {
  RunStatus status;
  status.job = "quantize";
  status.blocks_total = 4;
  status.blocks_done = 2;
  status.live.push_back({2, 3});
  const std::string text = status_table(status);
  EXPECT_THAT(text, AllOf(HasSubstr("2 of 4 packed"), HasSubstr("block 2: 3 epochs committed"),
                          Not(HasSubstr("KL"))));
}

}  // namespace
}  // namespace bitmill
