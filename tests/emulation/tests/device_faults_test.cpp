// What the device layer says where a call of CUDA fails, and what `bitmill devices` makes of it.
// The failures are the emulation's, so these tests are not those of a GPU.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "emulation/tests/child_run.hpp"

namespace bitmill::emulation_tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int told = 4;

ChildRun with_failure(const std::string& failure) {
  return run_child("BITMILL_EMULATION_FAIL=" + failure, DEVICE_FAULTS_PROGRAM);
}

void expect_told(const ChildRun& run, const std::string& kind, const std::string& first,
                 const std::string& second) {
  EXPECT_EQ(run.exit_code, told) << run.output;
  EXPECT_THAT(run.output,
              AllOf(HasSubstr("\n" + kind + ": "), HasSubstr(first), HasSubstr(second)));
}

TEST(DeviceFaults, NothingIsToldWhereNothingFails) {
  const ChildRun run = run_child("BITMILL_EMULATION_DELAY_US=20000", DEVICE_FAULTS_PROGRAM);
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_TRUE(run.says("bitmill emulation of sm_90 (cuda:0), 4.29 GB: 8 x (1 + 1) = 16"));
}

// "identity GPU-..." of the first device that a process sees.
std::string identity_line(const std::string& visible) {
  const ChildRun run = run_child("CUDA_VISIBLE_DEVICES=" + visible, DEVICE_FAULTS_PROGRAM);
  EXPECT_EQ(run.exit_code, 0) << run.output;
  return run.output.substr(0, run.output.find('\n'));
}

TEST(DeviceFaults, AGpuHasOneIdentityWhateverItsNumberAndEveryOtherHasAnother) {
  const std::string first = identity_line("0,1"), second = identity_line("1,0");
  EXPECT_THAT(first,
              testing::MatchesRegex("identity GPU-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-"
                                    "[0-9a-f]{12}"));
  EXPECT_NE(first, second);
  EXPECT_EQ(first, identity_line("0"));
  EXPECT_EQ(second, identity_line("1"));
}

TEST(DeviceFaults, AHostWithoutADriverThatFitsIsExplained) {
  expect_told(with_failure("cudaGetDeviceCount:1:cudaErrorInsufficientDriver"), "DeviceError",
              "no GPU can be used on ", "cudaErrorInsufficientDriver");
  expect_told(with_failure("cudaGetDeviceCount:1:cudaErrorSystemNotReady"), "DeviceError",
              "cudaErrorSystemNotReady", "nvidia-fabricmanager");
}

TEST(DeviceFaults, AHostWithoutADeviceIsExplained) {
  for (const char* none : {"BITMILL_EMULATION_DEVICES=0", "CUDA_VISIBLE_DEVICES=7"}) {
    const ChildRun run = run_child(none, DEVICE_FAULTS_PROGRAM);
    EXPECT_EQ(run.exit_code, told);
    EXPECT_THAT(run.output, AllOf(HasSubstr("DeviceError: no GPU can be used on "),
                                  HasSubstr("cudaErrorNoDevice"), HasSubstr("nvidia-smi -L")));
  }
}

TEST(DeviceFaults, AKernelThatWasNotBuiltForTheDeviceSaysHowToBuildIt) {
  expect_told(with_failure("cudaLaunchKernel:1:cudaErrorNoKernelImageForDevice"), "DeviceError",
              "this build has kernels for sm_90 alone, and the GPU is sm_90",
              "-DCMAKE_CUDA_ARCHITECTURES=90");
}

TEST(DeviceFaults, ADeviceThatAnotherProcessHoldsIsExplained) {
  expect_told(with_failure("cudaFree:1:cudaErrorDevicesUnavailable"), "DeviceError",
              "beginning to work failed on bitmill emulation of sm_90 (cuda:0) on ",
              "compute mode must be Default");
}

TEST(DeviceFaults, PinnedMemoryThatTheHostDoesNotGiveIsAnErrorWithTheLimit) {
  for (const char* call : {"cudaHostAlloc:1", "cudaHostAlloc:4"}) {
    expect_told(with_failure(call), "DeviceError", "4 buffers of 16.8 MB are needed", "ulimit -l");
  }
}

TEST(DeviceFaults, ADeviceWithoutMemorySaysWhatIsFree) {
  expect_told(with_failure("cudaMalloc:1,cudaMalloc:2,cudaMalloc:3,cudaMalloc:4"), "DeviceError",
              "out of memory", "nvidia-smi");
}

TEST(DeviceFaults, ACopyThatFailsNamesItsSize) {
  expect_told(with_failure("cudaMemcpyAsync:2:cudaErrorLaunchFailure"), "DeviceError",
              "cudaErrorLaunchFailure: unspecified launch failure", "copying 32 bytes");
}

// The second kernel: the first is the trial.
TEST(DeviceFaults, AKernelThatGoesWrongIsFoundWhereSomebodyWaits) {
  expect_told(with_failure("kernel:2"), "DeviceError", "work that was queued failed on ",
              "CUDA_LAUNCH_BLOCKING=1");
}

TEST(DeviceFaults, ADeviceThatIsLostInMidRunIsAnErrorOfItsOwn) {
  expect_told(with_failure("cudaDeviceSynchronize:1:cudaErrorECCUncorrectable"), "DeviceLostError",
              "cudaErrorECCUncorrectable", "Everything that was committed is kept");
}

ChildRun devices(const std::string& environment, const std::string& words = "") {
  return run_child(environment, std::string(BITMILL_PROGRAM) + " devices " + words);
}

TEST(DevicesCommand, ListsTheGpusThatItSees) {
  const ChildRun run = devices("BITMILL_EMULATION_DEVICES=3 CUDA_VISIBLE_DEVICES=2,0");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, AllOf(HasSubstr("(CUDA_VISIBLE_DEVICES=2,0)"), HasSubstr("cuda:0"),
                                HasSubstr("cuda:1"), HasSubstr("bitmill emulation of sm_90"),
                                HasSubstr("4.29 GB"), HasSubstr("2.28.9")));
  EXPECT_FALSE(run.says("cuda:2"));
}

TEST(DevicesCommand, GivesScriptsTheSameAsJson) {
  const ChildRun run = devices("BITMILL_EMULATION_DEVICES=2", "--json");
  ASSERT_EQ(run.exit_code, 0) << run.output;
  const nlohmann::json json = nlohmann::json::parse(run.output);
  ASSERT_EQ(json["devices"].size(), 2U);
  EXPECT_EQ(json["devices"][1]["index"], 1);
  EXPECT_EQ(json["devices"][1]["name"], "bitmill emulation of sm_90");
  EXPECT_EQ(json["devices"][1]["memory_bytes"], int64_t{4} << 30);
  EXPECT_EQ(json["devices"][1]["architecture"], "sm_90");
  EXPECT_EQ(json["devices"][1]["usable"], true);
  EXPECT_EQ(json["driver"], "13.0");
  EXPECT_EQ(json["nccl"], "2.28.9");  // of the stand-in
  EXPECT_EQ(json["problem"], "");
}

TEST(DevicesCommand, SaysWhyOneCannotBeUsedAndListsTheOthers) {
  const std::string failure =
      "BITMILL_EMULATION_FAIL=cudaLaunchKernel:1:cudaErrorNoKernelImageForDevice";
  EXPECT_TRUE(devices(failure).says("cuda:0: the first kernel failed on "));
  const ChildRun run = devices(failure, "--json");
  EXPECT_EQ(run.exit_code, 0);
  const nlohmann::json json =  // behind what the emulation says of the failure
      nlohmann::json::parse(run.output.substr(std::min(run.output.size(), run.output.find('{'))));
  EXPECT_EQ(json["devices"][0]["usable"], false);
  EXPECT_EQ(json["devices"][1]["usable"], true);
  EXPECT_EQ(json["problem"], "");
}

TEST(DevicesCommand, AHostWithoutAGpuIsNoFailure) {
  const ChildRun run = devices("BITMILL_EMULATION_DEVICES=0");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, AllOf(HasSubstr("no GPU on "), HasSubstr("cudaErrorNoDevice")));
  const nlohmann::json json =
      nlohmann::json::parse(devices("BITMILL_EMULATION_DEVICES=0", "--json").output);
  EXPECT_TRUE(json["devices"].empty());
  EXPECT_THAT(json["problem"].get<std::string>(), HasSubstr("cudaErrorNoDevice"));
}

}  // namespace
}  // namespace bitmill::emulation_tests
