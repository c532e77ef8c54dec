// `bitmill plan`, run as a user runs it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "program_run.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::string books = BITMILL_SOURCE_DIR "/tests/data/books-2M";

class PlanCommand : public ::testing::Test {
 protected:
  ProgramRun plan(const std::string& words) const {
    return run_program_in(folder_, "", "plan --model " + books + " " + words);
  }

  TempFolder folder_;
};

TEST_F(PlanCommand, JsonHasTheMeshTheTimeAndEveryRank) {
  const ProgramRun result = plan("--ranks 40 --recipe parallel --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json object = json::parse(result.out);
  EXPECT_EQ(object.at("ranks"), 40);
  EXPECT_EQ(object.at("lag"), 5);
  EXPECT_LE(object.at("stages").get<int>() * object.at("replicas").get<int>(), 32);
  EXPECT_GT(object.at("makespan_s"), 0);
  EXPECT_GT(object.at("idle_fraction"), 0);
  ASSERT_EQ(object.at("per_rank").size(), 40U);
  EXPECT_GT(object.at("per_rank")[0].at("busy_s"), 0);
  EXPECT_EQ(object.at("per_rank")[39].at("busy_s"), 0);
  EXPECT_GT(object.at("per_rank")[39].at("peak_bytes"), 0);
}

TEST_F(PlanCommand, MistakesAreNamed) {
  const auto refused = [&](const std::string& words, const std::string& message) {
    const ProgramRun result = plan(words);
    EXPECT_EQ(result.exit_code, 2) << words << result.err;
    EXPECT_THAT(result.err, HasSubstr(message)) << words;
  };
  refused("--ranks 4 --stages 3", "--stages 3 does not divide 4 ranks");
  refused("--lag 6", "5 or 10");
  refused("--memory-limit 1K", "the smallest memory that would is");
  refused("--save t.cfg", "--save has no effect without --calibrate");
}

TEST_F(PlanCommand, WhatCalibrateSavesIsAHardwareThatGivesTheSamePlan) {
  const std::string work = "--recipe parallel --samples 8 --seq-len 32 --ranks 2 --json ";
  const ProgramRun measured =
      plan(work + "--calibrate --save " + folder_ / "t.cfg --scratch-dir " + folder_ / "trial");
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const ProgramRun planned = plan(work + "--hardware " + folder_ / "t.cfg");
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  const double seconds = json::parse(measured.out).at("makespan_s");
  EXPECT_GT(seconds, 0.1);
  EXPECT_NEAR(json::parse(planned.out).at("makespan_s").get<double>() / seconds, 1, 1e-4);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "trial")) << "the trial left something behind";
}

// A forecast is a file that needs nothing else: no script, no style, no font of another place.
TEST_F(PlanCommand, TimelineIsOnePageThatNeedsNoNetwork) {
  const ProgramRun result = plan("--ranks 4 --recipe parallel --timeline " + folder_ / "t.html" +
                                 " --trace " + folder_ / "t.json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string page = folder_.read("t.html");
  EXPECT_TRUE(page.find("\"rank 3\"") != std::string::npos);
  for (const char* outside : {"http:", "https:", "src=", "@import", "<link"}) {
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  }
  const json trace = json::parse(folder_.read("t.json"));
  EXPECT_GT(trace.at("traceEvents").size(), 10U);
}

}  // namespace
}  // namespace bitmill
