// The program with `--backend cuda` where a GPU breaks in the middle of a job, and where there is
// none.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <string>

#include "emulation/tests/child_run.hpp"

namespace bitmill::emulation_tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class LostDevice : public testing::Test {
 protected:
  ChildRun quantize(const std::string& environment, const std::string& name,
                    const std::string& words = "",
                    const std::string& size = "--samples 2 --seq-len 16") const {
    const std::string data = std::string(BITMILL_SOURCE_DIR) + "/tests/data/";
    return run_child(environment,
                     std::string(BITMILL_PROGRAM) + " quantize --model " + data +
                         "books-2M --calib " + data +
                         "books/calib.txt --epochs 2 --max-blocks 2 --threads 1 " + size +
                         " --output-dir " + folder_ / name + " " + words,
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

  // Two ranks, each with words of its own for its environment.
  ChildRun two_ranks(const std::string& launcher, const std::string& first,
                     const std::string& second, const std::string& name) const {
    const std::string data = std::string(BITMILL_SOURCE_DIR) + "/tests/data/";
    const std::string job = std::string(BITMILL_PROGRAM) + " quantize --model " + data +
                            "books-2M --calib " + data +
                            "books/calib.txt --epochs 2 --max-blocks 2 --threads 1 --samples 2 "
                            "--batch 2 --seq-len 16 --output-dir " +
                            folder_ / name;
    const auto rank = [&](const std::string& environment) {
      return " -n 1 env " + environment + " " + job;
    };
    return run_child("OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                     launcher + rank(first) + " :" + rank(second), 120);
  }
  ChildRun two_ranks(const std::string& first_sees, const std::string& second_sees,
                     const std::string& name) const {
    return two_ranks(std::string(MPIRUN_PROGRAM) + " --oversubscribe",
                     "CUDA_VISIBLE_DEVICES=" + first_sees, "CUDA_VISIBLE_DEVICES=" + second_sees,
                     name);
  }

  const TempFolder folder_;
};

// As batch systems do it: every rank sees one GPU, which it calls cuda:0.
TEST_F(LostDevice, RanksThatSeeOneGpuEachDoNotShareIt) {
  const ChildRun run = two_ranks("0", "1", "two");
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, testing::Not(HasSubstr("share GPU")));
}

TEST_F(LostDevice, RanksThatSeeTheSameGpuAreToldThatTheyShareIt) {
  const ChildRun run = two_ranks("1", "1", "one");
  EXPECT_EQ(run.exit_code, 0) << run.output;
  const size_t first = run.output.find("note: 2 ranks of ");
  ASSERT_NE(first, std::string::npos) << run.output;
  EXPECT_THAT(run.output, AllOf(HasSubstr(" share GPU bitmill emulation of sm_90 (cuda:0)"),
                                HasSubstr("CUDA_VISIBLE_DEVICES")));
  EXPECT_EQ(run.output.find("share GPU", run.output.find("share GPU") + 1), std::string::npos)
      << "once: " << run.output;
}

// Every tensor is an allocation of its own there.
TEST_F(LostDevice, TuneThatFindsNoMemorySaysWhere) {
  ASSERT_EQ(quantize("", "packed").exit_code, 0);
  const auto fails_at = [&](int call) {
    const std::string nth = std::to_string(call);
    return tune("PYTORCH_NO_CUDA_MEMORY_CACHING=1 BITMILL_EMULATION_FAIL=cudaMalloc:" + nth +
                    ":cudaErrorMemoryAllocation",
                "full" + nth);
  };
  const ChildRun teacher = fails_at(850), training = fails_at(1600);
  for (const ChildRun& run : {teacher, training}) {
    EXPECT_EQ(run.exit_code, 1) << run.output;
    EXPECT_THAT(run.output, HasSubstr("out of memory"));
  }
  EXPECT_THAT(teacher.output, HasSubstr("the original's forward pass of block "));
  EXPECT_THAT(training.output, testing::ContainsRegex("(the gradient|the forward pass) of block "
                                                      "[0-9]+, sample [0-9]+: "));
}

TEST_F(LostDevice, AJobThatLosesItEndsWith75AndGoesOnToTheSameBytes) {
  ASSERT_EQ(quantize("", "whole").exit_code, 0);
  const ChildRun lost =
      quantize("BITMILL_EMULATION_FAIL=cudaMemcpyAsync:60:cudaErrorECCUncorrectable", "broken");
  EXPECT_EQ(lost.exit_code, 75) << lost.output;
  EXPECT_THAT(lost.output, AllOf(HasSubstr("backend cuda"), HasSubstr("cudaErrorECCUncorrectable"),
                                 HasSubstr("Everything that was committed is kept")));
  const ChildRun again = quantize("", "broken", "--resume required");
  EXPECT_EQ(again.exit_code, 0) << again.output;
  EXPECT_TRUE(folder_.read("whole/model.safetensors") == folder_.read("broken/model.safetensors"));
}

TEST_F(LostDevice, ARankThatLosesItsOwnEndsTheJobWith75ThroughTheWrapper) {
  const std::string wrapper = std::string(BITMILL_SOURCE_DIR) + "/launch/bitmill-mpirun";
  const std::string first = "CUDA_VISIBLE_DEVICES=0", second = "CUDA_VISIBLE_DEVICES=1";
  ASSERT_EQ(two_ranks(wrapper, first, second, "whole").exit_code, 0);
  const ChildRun lost = two_ranks(
      wrapper, first,
      second + " BITMILL_EMULATION_FAIL=cudaMemcpyAsync:60:cudaErrorECCUncorrectable", "broken");
  EXPECT_EQ(lost.exit_code, 75) << lost.output;
  EXPECT_THAT(lost.output, AllOf(HasSubstr("rank 1"), HasSubstr("cudaErrorECCUncorrectable"),
                                 HasSubstr("Everything that was committed is kept")));
  const ChildRun again = two_ranks(wrapper, first, second, "broken");
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
  EXPECT_THAT(quantize("", "without", "--dry-run").output, Not(HasSubstr(words)));
  EXPECT_THAT(quantize("", "cpu", "--dry-run --init cd --backend cpu").output,
              Not(HasSubstr(words)));
}

// The first piece that libtorch's allocator asks for after the algorithms of the products have been
// chosen; it gives back what it can, and asks again.
TEST_F(LostDevice, AJobThatFindsNoMemorySaysWhereAndHowMuch) {
  const ChildRun full = quantize("BITMILL_EMULATION_FAIL=cudaMalloc:4,cudaMalloc:5,cudaMalloc:6",
                                 "full", "", "--samples 4 --seq-len 128");
  EXPECT_EQ(full.exit_code, 1) << full.output;
  EXPECT_THAT(
      full.output,
      AllOf(HasSubstr("the forward pass of block 0, sample 0: "),
            HasSubstr("Tried to allocate 2.00 MiB"), HasSubstr("of which 4.00 GiB is free"),
            HasSubstr("--device-memory-limit"), HasSubstr("--seq-len"), Not(HasSubstr("--dtype"))));
  const ChildRun wide = quantize("BITMILL_EMULATION_FAIL=cudaMalloc:5,cudaMalloc:6,cudaMalloc:7",
                                 "wide", "--dtype float32", "--samples 4 --seq-len 128");
  EXPECT_THAT(wide.output,
              AllOf(HasSubstr("Tried to allocate"), HasSubstr("--dtype bfloat16 takes less")));
}

TEST_F(LostDevice, TuneThatFindsNoMemoryNamesNoOptionThatItHasNot) {
  ASSERT_EQ(quantize("", "packed").exit_code, 0);
  const ChildRun full = tune(
      "PYTORCH_NO_CUDA_MEMORY_CACHING=1 "
      "BITMILL_EMULATION_FAIL=cudaMalloc:100:cudaErrorMemoryAllocation",
      "full");
  EXPECT_EQ(full.exit_code, 1) << full.output;
  EXPECT_THAT(full.output,
              AllOf(HasSubstr("out of memory"), HasSubstr("--seq-len"),
                    Not(HasSubstr("--device-memory-limit")), Not(HasSubstr("--dtype"))));
}

// Every tensor is an allocation of its own there. Block 0 is packed by then.
TEST_F(LostDevice, AJobThatFindsNoMemoryInMidRunKeepsWhatItHasAndTheNextStartGoesOn) {
  ASSERT_EQ(quantize("", "whole").exit_code, 0);
  const ChildRun full = quantize(
      "PYTORCH_NO_CUDA_MEMORY_CACHING=1 "
      "BITMILL_EMULATION_FAIL=cudaMalloc:2300:cudaErrorMemoryAllocation",
      "full");
  EXPECT_EQ(full.exit_code, 1) << full.output;
  EXPECT_THAT(full.output,
              AllOf(HasSubstr("the gradient of block 1, sample "), HasSubstr("out of memory"),
                    HasSubstr(" are free"), HasSubstr("--device-memory-limit")));
  const ChildRun again = quantize("", "full", "--resume required");
  EXPECT_EQ(again.exit_code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("1 of 2 blocks are packed"));
  EXPECT_TRUE(folder_.read("whole/model.safetensors") == folder_.read("full/model.safetensors"));
}

TEST_F(LostDevice, AJobThatDoesNotFitIsRefusedBeforeItBegins) {
  const ChildRun run = quantize("BITMILL_EMULATION_MEMORY=277000000", "small");
  EXPECT_EQ(run.exit_code, 2) << run.output;
  EXPECT_THAT(run.output, AllOf(HasSubstr("a block and one of its samples need "),
                                HasSubstr("--seq-len"), Not(HasSubstr("--dtype"))));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "small.work"));
}

// Three streams of 256 samples are 75 MB. Before the GPU is looked at, all of them may lie there.
TEST_F(LostDevice, AHostThatMayNotHoldWhatTheGpuHasNoRoomForIsRefusedBeforeTheJobBegins) {
  const std::string size = "--samples 256 --seq-len 128";
  const std::string planned = quantize("", "planned", "--dry-run --json", size).output;
  std::smatch bytes;
  ASSERT_TRUE(std::regex_search(planned, bytes, std::regex("\"peak_memory_bytes\": ?([0-9]+)")))
      << planned;
  const int64_t host_limit = std::stoll(bytes[1]) + 1'000'000;
  const ChildRun run = quantize("BITMILL_EMULATION_MEMORY=300000000", "small",
                                "--memory-limit " + std::to_string(host_limit), size);
  EXPECT_EQ(run.exit_code, 2) << run.output;
  EXPECT_THAT(run.output,
              AllOf(HasSubstr("may use " + std::to_string(host_limit) + " bytes of its host"),
                    HasSubstr("--stream-memory")));
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
