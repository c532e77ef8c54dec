// Every planted mistake is caught, in the mode that catches it, and the right program beside it is
// not.

#include <gtest/gtest.h>
#include <signal.h>

#include "emulation/tests/child_run.hpp"

namespace bitmill::emulation_tests {
namespace {

constexpr const char* delayed = "BITMILL_EMULATION_DELAY_US=50000";
constexpr const char* at_once = "BITMILL_EMULATION_DELAY_US=0";
constexpr int wrong_result = 3, reported = 4, leaked = 66;

ChildRun planted(const std::string& environment, const std::string& words) {
  return run_child(environment, std::string(PLANTED_PROGRAM) + " " + words);
}

void expect_right_one_passes(const std::string& name) {
  for (const char* mode : {at_once, delayed}) {
    const ChildRun right = planted(mode, name + " right");
    EXPECT_EQ(right.exit_code, 0) << name << ", " << mode << "\n" << right.output;
  }
}

TEST(PlantedMistake, ForgottenEventGivesAWrongResultWhenStreamsRest) {
  EXPECT_EQ(planted(delayed, "forgotten_event").exit_code, wrong_result);
  expect_right_one_passes("forgotten_event");
}

TEST(PlantedMistake, ForgottenEventIsFoundWithRestsThatASeedDraws) {
  int caught = 0;
  for (int seed = 1; seed <= 8; ++seed) {
    const std::string mode =
        "BITMILL_EMULATION_DELAY_US=20000 BITMILL_EMULATION_SEED=" + std::to_string(seed);
    caught += planted(mode, "forgotten_event").exit_code == wrong_result ? 1 : 0;
    EXPECT_EQ(planted(mode, "forgotten_event right").exit_code, 0);
  }
  EXPECT_GT(caught, 0);
}

TEST(PlantedMistake, PinnedBufferReusedTooEarlyGivesAWrongResultWhenStreamsRest) {
  EXPECT_EQ(planted(delayed, "pinned_buffer_reused").exit_code, wrong_result);
  expect_right_one_passes("pinned_buffer_reused");
}

TEST(PlantedMistake, HostThatTouchesDeviceMemoryDiesAndIsToldWhy) {
  const ChildRun run = planted(at_once, "host_touch");
  EXPECT_EQ(run.signal, SIGSEGV);
  EXPECT_TRUE(run.says("host code touched device memory at 0x")) << run.output;
  expect_right_one_passes("host_touch");
}

TEST(PlantedMistake, KernelThatRunsOffItsMemoryIsAnIllegalAddress) {
  const ChildRun run = planted(at_once, "device_overrun");
  EXPECT_EQ(run.exit_code, reported);
  EXPECT_TRUE(run.says("is 0 bytes behind the end of allocation 1 (4096 bytes")) << run.output;
  EXPECT_TRUE(run.says("cudaErrorIllegalAddress")) << run.output;
  expect_right_one_passes("device_overrun");
}

TEST(PlantedMistake, KernelThatRunsALittleOffItsMemoryIsFoundWhenItIsFreed) {
  const ChildRun run = planted(at_once, "small_overrun");
  EXPECT_EQ(run.exit_code, reported);
  EXPECT_TRUE(run.says("4 bytes behind allocation 1 (40 bytes on device 0")) << run.output;
  expect_right_one_passes("small_overrun");
}

TEST(PlantedMistake, KernelThatUsesFreedMemoryIsAnIllegalAddress) {
  const ChildRun run = planted(at_once, "use_after_free");
  EXPECT_EQ(run.exit_code, reported);
  EXPECT_TRUE(run.says("cudaErrorIllegalAddress")) << run.output;
  EXPECT_TRUE(run.says("allocation 1 (4096 bytes on device 0, freed)")) << run.output;
  expect_right_one_passes("use_after_free");
}

TEST(PlantedMistake, HostThatUsesFreedPinnedMemoryDies) {
  EXPECT_EQ(planted(at_once, "pinned_use_after_free").signal, SIGSEGV);
  expect_right_one_passes("pinned_use_after_free");
}

TEST(PlantedMistake, CopyOfFreedMemoryIsAnInvalidValue) {
  const ChildRun run = planted(at_once, "copy_of_freed_memory");
  EXPECT_EQ(run.exit_code, reported);
  EXPECT_TRUE(run.says("cudaErrorInvalidValue")) << run.output;
  expect_right_one_passes("copy_of_freed_memory");
}

TEST(PlantedMistake, MemoryThatNobodyWroteIsNotANumber) {
  const ChildRun run = planted(at_once, "unwritten_memory");
  EXPECT_EQ(run.exit_code, wrong_result);
  EXPECT_TRUE(run.says("nan")) << run.output;
  expect_right_one_passes("unwritten_memory");
}

TEST(PlantedMistake, LeakAfterAFailedLaunchIsReportedAtTheEnd) {
  const ChildRun run = planted("BITMILL_EMULATION_LEAKS=fail", "leak_after_a_failed_launch");
  EXPECT_EQ(run.exit_code, leaked);
  EXPECT_TRUE(run.says("left at exit: allocation 1, 4096 bytes on device 0")) << run.output;
  const ChildRun right =
      planted("BITMILL_EMULATION_LEAKS=fail", "leak_after_a_failed_launch right");
  EXPECT_EQ(right.exit_code, 0) << right.output;
}

TEST(PlantedMistake, PoolMemoryThatIsNotWaitedForIsAnIllegalAddressWhenStreamsRest) {
  const ChildRun run = planted(delayed, "pool_memory_too_early");
  EXPECT_EQ(run.exit_code, reported);
  EXPECT_TRUE(run.says("cudaErrorIllegalAddress")) << run.output;
  expect_right_one_passes("pool_memory_too_early");
}

TEST(PlantedMistake, KernelOnMemoryOfAnotherDeviceIsAnIllegalAddress) {
  EXPECT_EQ(planted(at_once, "memory_of_another_device").exit_code, reported);
  expect_right_one_passes("memory_of_another_device");
}

TEST(PlantedMistake, KernelThatGetsAHostAddressIsAnIllegalAddress) {
  const ChildRun run = planted(at_once, "host_address_in_a_kernel");
  EXPECT_EQ(run.exit_code, reported);
  EXPECT_TRUE(run.says("stands for a host address")) << run.output;
  EXPECT_TRUE(run.says("cudaErrorIllegalAddress")) << run.output;
  expect_right_one_passes("host_address_in_a_kernel");
}

TEST(PlantedMistake, CudaAfterForkIsRefused) {
  EXPECT_EQ(planted(at_once, "used_after_fork").exit_code, reported);
  expect_right_one_passes("used_after_fork");
}

TEST(PlantedMistake, StreamThatWasDestroyedIsKnownAsSuch) {
  const ChildRun run = planted(at_once, "stream_after_destroy");
  EXPECT_EQ(run.exit_code, reported);
  EXPECT_TRUE(run.says("cudaErrorInvalidResourceHandle")) << run.output;
  expect_right_one_passes("stream_after_destroy");
}

TEST(FailureThatWasAskedFor, HitsTheCallOfThatNameAndNumber) {
  const ChildRun run = planted("BITMILL_EMULATION_FAIL=cudaMalloc:2", "forgotten_event right");
  EXPECT_EQ(run.exit_code, reported);
  EXPECT_TRUE(run.says("cudaErrorMemoryAllocation")) << run.output;
  const ChildRun later = planted("BITMILL_EMULATION_FAIL=cudaMalloc:3", "forgotten_event right");
  EXPECT_EQ(later.exit_code, 0) << later.output;
}

TEST(FailureThatWasAskedFor, HasTheErrorThatIsNamed) {
  const ChildRun run = planted("BITMILL_EMULATION_FAIL=cudaMemcpyAsync:1:cudaErrorLaunchFailure",
                               "forgotten_event right");
  EXPECT_EQ(run.exit_code, reported);
  EXPECT_TRUE(run.says("cudaErrorLaunchFailure")) << run.output;
}

TEST(FailureThatWasAskedFor, IsALaunchOrAKernelToo) {
  EXPECT_TRUE(planted("BITMILL_EMULATION_FAIL=cudaLaunchKernel:1", "device_overrun right")
                  .says("write_value(numbers + count - (right ? 1 : 0), 7, all.first)"));
  EXPECT_TRUE(planted("BITMILL_EMULATION_FAIL=kernel:1", "device_overrun right")
                  .says("cudaStreamSynchronize(all.first): cudaErrorIllegalAddress"));
}

TEST(FailureThatWasAskedFor, ThatNobodyUnderstandsEndsTheProgram) {
  for (const char* wish : {"cudaMalloc", "cudaMalloc:0", "cudaMalloc:x", "cudaMalloc:1:2:3"}) {
    const ChildRun run =
        planted(std::string("BITMILL_EMULATION_FAIL=") + wish, "forgotten_event right");
    EXPECT_EQ(run.exit_code, 2) << wish << "\n" << run.output;
    EXPECT_TRUE(run.says(wish)) << run.output;
  }
}

TEST(EmulatedMachine, HasAsManyDevicesAndAsMuchMemoryAsItIsTold) {
  EXPECT_EQ(planted("BITMILL_EMULATION_MEMORY=8192", "forgotten_event right").exit_code, 0);
  const ChildRun tight = planted("BITMILL_EMULATION_MEMORY=4096", "forgotten_event right");
  EXPECT_TRUE(tight.says("cudaErrorMemoryAllocation")) << tight.output;
  const ChildRun none = planted("BITMILL_EMULATION_DEVICES=0", "forgotten_event right");
  EXPECT_TRUE(none.says("cudaErrorNoDevice")) << none.output;
}

TEST(EmulatedMachine, ShowsTheDevicesThatCudaVisibleDevicesNames) {
  EXPECT_EQ(planted("CUDA_VISIBLE_DEVICES=1", "forgotten_event right").exit_code, 0);
  const ChildRun one = planted("CUDA_VISIBLE_DEVICES=1", "memory_of_another_device");
  EXPECT_TRUE(one.says("cudaSetDevice(1): cudaErrorInvalidDevice")) << one.output;
  const ChildRun none = planted("CUDA_VISIBLE_DEVICES=5,0", "forgotten_event right");
  EXPECT_TRUE(none.says("cudaErrorNoDevice")) << none.output;
}

}  // namespace
}  // namespace bitmill::emulation_tests
