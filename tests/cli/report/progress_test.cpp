// What people see of a run, with a clock and a stream of the test's own.

#include "cli/report/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cli/paper.hpp"
#include "cli/report/quantize_report.hpp"

namespace bitmill {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Two blocks of four epochs in two turns, two steps an epoch; a step takes `step_seconds`.
void quantize_two_blocks(Console& console, double step_seconds) {
  double now = 100;
  QuantizeProgress progress(console, {2, 4, 2, 2}, [&] { return now; });
  for (int turn = 0; turn < 2; ++turn) {
    for (int block = 0; block < 2; ++block) {
      progress.action_begins({ActionKind::load, block, -1});
      progress.action_begins({ActionKind::teach, block, turn});
      progress.action_begins({ActionKind::train, block, turn});
      for (int epoch = 2 * turn; epoch < 2 * turn + 2; ++epoch) {
        for (int64_t step = 0; step < 2; ++step) {
          now += step_seconds;
          progress.step_done({block, turn, epoch, step});
        }
        progress.epoch_done({block, turn, epoch, 2}, 0.5 / (epoch + 1));
      }
      progress.action_done({ActionKind::train, block, turn});
    }
  }
}

TEST(Progress, ALogHasOneLinePerTurnOfABlock) {
  Paper people, scripts;
  Console console(people.file(), scripts.file(), false);
  quantize_two_blocks(console, 1.0);
  EXPECT_EQ(people.text(),
            "block 1/2 · turn 1/2 · epoch 2/4 · loss 0.25 · 8.00 s/block · ETA 12.0 s\n"
            "block 2/2 · turn 1/2 · epoch 2/4 · loss 0.25 · 8.00 s/block · ETA 8.00 s\n"
            "block 1/2 · turn 2/2 · epoch 4/4 · loss 0.125 · 8.00 s/block · ETA 4.00 s\n"
            "block 2/2 · turn 2/2 · epoch 4/4 · loss 0.125 · 8.00 s/block · ETA 0 s\n");
  EXPECT_EQ(scripts.text(), "");
}

TEST(Progress, LongEpochsAreLoggedOnTheirOwn) {
  Paper people, scripts;
  Console console(people.file(), scripts.file(), false);
  quantize_two_blocks(console, 20.0);
  EXPECT_THAT(people.text(), HasSubstr("block 1/2 · turn 1/2 · epoch 1/4"));
}

TEST(Progress, ATerminalLineIsRewrittenInPlace) {
  Paper people, scripts;
  Console console(people.file(), scripts.file(), true);
  quantize_two_blocks(console, 1.0);
  console.say("done");
  EXPECT_THAT(people.text(), HasSubstr("\r\x1b[Kblock 2/2"));
  EXPECT_THAT(people.text(), HasSubstr("\r\x1b[Kdone\n"));
}

TEST(Progress, OtherRanksAreSilent) {
  Console console(nullptr, nullptr, true);
  quantize_two_blocks(console, 1.0);
  console.say("nobody hears this");
  console.print("nor this");
  EXPECT_TRUE(console.silent());
}

TEST(QualityTable, BadBlocksAreMarkedAndExplained) {
  const std::string good = quality_table({{0, 0.5, 0.25, 0.99, 0.1, 1.7}});
  EXPECT_THAT(good, Not(HasSubstr("!")));
  EXPECT_THAT(good, HasSubstr("first loss"));
  const std::string bad = quality_table({{0, 0.5, 0.25, 0.99, 0.1, 1.7}, {1, 9, 8, 0.3, 2, 1.7}});
  EXPECT_THAT(bad, HasSubstr("! the output of 1 of 2 blocks"));
  EXPECT_EQ(quality_table({}), "");
}

}  // namespace
}  // namespace bitmill
