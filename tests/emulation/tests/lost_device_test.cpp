// The program with `--backend cuda` where a GPU breaks in the middle of a job, and where there is
// none.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emulation/tests/child_run.hpp"

namespace bitmill::emulation_tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class LostDevice : public testing::Test {
 protected:
  ChildRun quantize(const std::string& environment, const std::string& name,
                    const std::string& words = "") const {
    const std::string data = std::string(BITMILL_SOURCE_DIR) + "/tests/data/";
    return run_child(environment,
                     std::string(BITMILL_PROGRAM) + " quantize --model " + data +
                         "books-2M --calib " + data +
                         "books/calib.txt --samples 2 --seq-len 16 --epochs 2 --max-blocks 2 "
                         "--threads 1 --output-dir " +
                         folder_ / name + " " + words,
                     120);
  }

  // Of the packed model `packed`.
  ChildRun tune(const std::string& environment, const std::string& name,
                const std::string& words = "") const {
    const std::string data = std::string(BITMILL_SOURCE_DIR) + "/tests/data/";
    return run_child(environment,
                     std::string(BITMILL_PROGRAM) + " tune --model " + folder_ / "packed" +
                         " --reference " + data + "books-2M --calib " + data +
                         "books/calib.txt --samples 4 --seq-len 16 --epochs 2 --batch 2 "
                         "--held-out 0.25 --threads 1 --output-dir " +
                         folder_ / name + " " + words,
                     120);
  }

  const TempFolder folder_;
};

TEST_F(LostDevice, AJobThatLosesItEndsWith75AndGoesOnToTheSameBytes) {
  ASSERT_EQ(quantize("", "whole").exit_code, 0);
  const ChildRun lost =
      quantize("BITMILL_EMULATION_FAIL=cudaMemcpyAsync:80:cudaErrorECCUncorrectable", "broken");
  EXPECT_EQ(lost.exit_code, 75) << lost.output;
  EXPECT_THAT(lost.output, AllOf(HasSubstr("backend cuda"), HasSubstr("cudaErrorECCUncorrectable"),
                                 HasSubstr("Everything that was committed is kept")));
  const ChildRun again = quantize("", "broken", "--resume required");
  EXPECT_EQ(again.exit_code, 0) << again.output;
  EXPECT_TRUE(folder_.read("whole/model.safetensors") == folder_.read("broken/model.safetensors"));
}

TEST_F(LostDevice, TuneThatLosesItEndsWith75AndGoesOnToTheSameBytes) {
  ASSERT_EQ(quantize("", "packed").exit_code, 0);
  ASSERT_EQ(tune("", "whole").exit_code, 0);
  const ChildRun lost =
      tune("BITMILL_EMULATION_FAIL=cudaMemcpyAsync:800:cudaErrorECCUncorrectable", "broken");
  EXPECT_EQ(lost.exit_code, 75) << lost.output;
  EXPECT_THAT(lost.output, AllOf(HasSubstr("backend cuda"), HasSubstr("epoch 1/2"),
                                 HasSubstr("cudaErrorECCUncorrectable"),
                                 HasSubstr("Everything that was committed is kept")));
  const ChildRun again = tune("", "broken", "--resume required");
  EXPECT_EQ(again.exit_code, 0) << again.output;
  EXPECT_TRUE(folder_.read("whole/model.safetensors") == folder_.read("broken/model.safetensors"));
}

TEST_F(LostDevice, DescentSaysThatItStaysOnTheHost) {
  const char* const words = "note: coordinate descent (--init cd)";
  EXPECT_THAT(quantize("", "with", "--dry-run --init cd").output, HasSubstr(words));
  EXPECT_THAT(quantize("", "without", "--dry-run").output, testing::Not(HasSubstr(words)));
  EXPECT_THAT(quantize("", "cpu", "--dry-run --init cd --backend cpu").output,
              testing::Not(HasSubstr(words)));
}

TEST_F(LostDevice, AutoSaysWhyTheCpuComputes) {
  const ChildRun run = quantize("BITMILL_EMULATION_DEVICES=0", "none", "--dry-run");
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output,
              AllOf(HasSubstr("note: the CPU computes: "), HasSubstr("cudaErrorNoDevice")));
}

}  // namespace
}  // namespace bitmill::emulation_tests
