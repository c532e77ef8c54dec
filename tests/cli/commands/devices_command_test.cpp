// `bitmill devices` of a build without CUDA. tests/emulation/tests/device_faults_test.cpp has the
// others.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "kernels/launch.hpp"
#include "program_run.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

class DevicesProgram : public testing::Test {
 protected:
  void SetUp() override {
    if (kernels::compiled()) GTEST_SKIP() << "this build has CUDA";
  }
  ProgramRun run(const std::string& words) const { return run_program_in(folder_, "", words); }

  TempFolder folder_;
};

TEST_F(DevicesProgram, SaysThatThisBuildHasNoCudaAndHowToGetOne) {
  const ProgramRun result = run("devices");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("this bitmill was built without CUDA"));
  EXPECT_THAT(result.out, HasSubstr("cmake --preset cuda"));
}

TEST_F(DevicesProgram, GivesScriptsAnEmptyListAndTheReason) {
  const ProgramRun result = run("devices --json");
  EXPECT_EQ(result.exit_code, 0);
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["devices"], nlohmann::json::array());
  EXPECT_EQ(json["driver"], "");
  EXPECT_EQ(json["nccl"], "");
  EXPECT_EQ(json["compiled"], false);
  EXPECT_THAT(json["problem"].get<std::string>(), HasSubstr("built without CUDA"));
}

TEST_F(DevicesProgram, TakesNoWordsBesideItsOptions) { EXPECT_EQ(run("devices 0").exit_code, 2); }

TEST_F(DevicesProgram, IsInTheListOfCommands) {
  EXPECT_THAT(run("help").out, HasSubstr("\n  devices "));
}

}  // namespace
}  // namespace bitmill
