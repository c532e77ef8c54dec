// The program with `--backend cuda` where a GPU breaks in the middle of a job, and where there is
// none.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

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

// Every tensor is an allocation of its own there.
TEST_F(LostDevice, AJobThatFindsNoMemoryInMidRunSaysWhereAndTheNextStartGoesOn) {
  ASSERT_EQ(quantize("", "whole").exit_code, 0);
  const ChildRun full = quantize(
      "PYTORCH_NO_CUDA_MEMORY_CACHING=1 "
      "BITMILL_EMULATION_FAIL=cudaMalloc:1500:cudaErrorMemoryAllocation",
      "full");
  EXPECT_EQ(full.exit_code, 1) << full.output;
  EXPECT_THAT(full.output, AllOf(HasSubstr(" of block 1, sample "), HasSubstr("out of memory"),
                                 HasSubstr(" are free"), HasSubstr("--device-memory-limit"),
                                 HasSubstr("--seq-len"), HasSubstr("bfloat16")));
  const ChildRun again = quantize("", "full", "--resume required");
  EXPECT_EQ(again.exit_code, 0) << again.output;
  EXPECT_TRUE(folder_.read("whole/model.safetensors") == folder_.read("full/model.safetensors"));
}

TEST_F(LostDevice, AJobThatDoesNotFitIsRefusedBeforeItBegins) {
  const ChildRun run = quantize("BITMILL_EMULATION_MEMORY=280000000", "small");
  EXPECT_EQ(run.exit_code, 2) << run.output;
  EXPECT_THAT(run.output, AllOf(HasSubstr("a block and one of its samples need "),
                                HasSubstr("--seq-len"), HasSubstr("bfloat16")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "small.work"));
}

TEST_F(LostDevice, AutoSaysWhyTheCpuComputes) {
  const ChildRun run = quantize("BITMILL_EMULATION_DEVICES=0", "none", "--dry-run");
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output,
              AllOf(HasSubstr("note: the CPU computes: "), HasSubstr("cudaErrorNoDevice")));
}

}  // namespace
}  // namespace bitmill::emulation_tests
