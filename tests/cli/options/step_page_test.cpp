// kernels/STEP.md says what the planner computes.

#include "bench/step_page.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <string>

namespace bitmill {
namespace {

using testing::HasSubstr;

std::string page_of_a_step() {
  std::ifstream in(BITMILL_SOURCE_DIR "/kernels/STEP.md");
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(StepPage, HasTheTablesThatTheStepPageProgramPrints) {
  const std::string page = page_of_a_step();
  for (const std::string& table : {steps_table(), parts_table(), overlap_table()}) {
    EXPECT_THAT(page, HasSubstr(table)) << "the page takes what build/bin/step_page prints";
  }
}

TEST(StepPage, EveryPartIsCountedOnce) {
  const PageStep step = page_step({"70B", true, 4, "h200"});
  double sum = 0;
  for (const PartKind kind : {PartKind::product, PartKind::kernel, PartKind::library}) {
    EXPECT_GT(step.part_of(kind), 0);
    sum += step.part_of(kind);
  }
  EXPECT_NEAR(sum, 1, 1e-9);
}

// The goals that the page says are met: for the published method at 70B.
TEST(StepPage, TheGoalsHoldAt70BWithFrozenSigns) {
  for (const std::string_view device : {"h100", "h200"}) {
    const PageStep step = page_step({"70B", false, 1, device});
    EXPECT_GE(step.part_of(PartKind::product), 0.80) << device;
    EXPECT_LT(step.launches_s, step.seconds) << device;
    for (const StepPart& part : step.parts) {
      if (part.kind != PartKind::kernel) continue;
      EXPECT_LE(step.part_of(part.name), 0.05) << part.name;
    }
  }
}

}  // namespace
}  // namespace bitmill
