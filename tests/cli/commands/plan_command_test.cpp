// `bitmill plan`, run as a user runs it.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli/commands/invocation.hpp"
#include "cli/commands/quantize_job.hpp"
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
  const json& stages = object.at("per_stage");
  ASSERT_EQ(object.at("stages"), stages.size());
  EXPECT_GT(stages[0].at("link_bytes"), 0);
  EXPECT_GT(stages[0].at("exchange_bytes"), 0);
  EXPECT_EQ(object.at("one_memory"), true);
  EXPECT_EQ(stages[0].at("host_bytes"), stages[0].at("peak_bytes"));
}

TEST_F(PlanCommand, OfATuningHasMemoryAndStateAndRefusesWhatHasNoEffect) {
  const std::string job = "--job tune --learn-signs --ranks 4 --stages 2 --json ";
  const ProgramRun result = plan(job);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json all = json::parse(result.out);
  EXPECT_EQ(all.at("replicas"), 2);
  EXPECT_GT(all.at("signs"), 1'000'000);
  EXPECT_EQ(all.at("sign_groups"), 1);
  const json one = json::parse(plan(job + "--sign-blocks 1").out);
  EXPECT_GT(one.at("sign_groups"), 1);
  EXPECT_LT(one.at("state_bytes"), all.at("state_bytes"));
  EXPECT_LT(one.at("peak_bytes"), all.at("peak_bytes"));
  const json half = json::parse(plan(job + "--sign-state 16").out);
  EXPECT_LT(half.at("state_bytes"), all.at("state_bytes"));
  EXPECT_THAT(plan("--job tune --learn-signs --sign-blocks 1").out,
              AllOf(HasSubstr("at a time"), HasSubstr("memory"), HasSubstr("of state")));
  const ProgramRun refused = plan(job + "--recipe best");
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--recipe has no effect with --job tune"));
  EXPECT_THAT(plan("--sign-blocks 1").err, HasSubstr("--sign-blocks has no effect without --job"));
  EXPECT_THAT(plan("--held-out 0.2").err, HasSubstr("--held-out has no effect without --job tune"));
  // What errors advise is there to be taken.
  const std::string few = "--job tune --learn-signs --samples 8 --sign-blocks 1 --epochs 1 ";
  EXPECT_THAT(plan(few).err, HasSubstr("raise --sign-blocks, or the number of steps (--epochs, "));
  EXPECT_EQ(plan("--job tune --learn-signs --samples 8 --sign-blocks 1 --epochs 9").exit_code, 0);
  EXPECT_THAT(plan("--job tune --samples 5 --held-out 0.4").err,
              HasSubstr("lower --held-out or --batch"));
}

TEST_F(PlanCommand, ADeviceWithMemoryOfItsOwnHasAHostBesideIt) {
  const ProgramRun result = plan("--ranks 4 --recipe parallel --hardware h100 --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json object = json::parse(result.out);
  EXPECT_EQ(object.at("one_memory"), false);
  EXPECT_GT(object.at("host_bytes"), 2e9);
  EXPECT_NE(object.at("host_bytes"), object.at("peak_bytes"));
  EXPECT_THAT(plan("--ranks 4 --recipe parallel --hardware h100").out,
              AllOf(HasSubstr("of the device ("), HasSubstr("temporary memory of attention"),
                    HasSubstr("of the host")));
}

TEST_F(PlanCommand, AJobThatDoesNotFitADeviceIsRefusedAndStreamsAreNoReason) {
  const std::string job = "--recipe published --samples 1000 --hardware h100 --json ";
  const json free = json::parse(plan(job).out);
  const int64_t streams = free.at("device_stream_bytes");
  ASSERT_GT(streams, 0);
  const int64_t less = free.at("peak_bytes").get<int64_t>() - streams / 2;
  const json tight = json::parse(plan(fmt::format("{} --device-memory-limit {}", job, less)).out);
  EXPECT_LT(tight.at("device_stream_bytes"), streams);
  EXPECT_GT(tight.at("host_bytes"), free.at("host_bytes"));
  EXPECT_LE(tight.at("peak_bytes"), less);
  const ProgramRun refused = plan(job + "--device-memory-limit 2010000000");
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr("fits 2010000000 bytes of a device"), HasSubstr("--seq-len"),
                    HasSubstr("raise --device-memory-limit"), HasSubstr("streams are not in it"),
                    testing::Not(HasSubstr("bfloat16"))));
  EXPECT_THAT(plan("--device-memory-limit 1GB").err, HasSubstr("which has one memory"));
}

// 128 samples of 512 tokens and 192 channels are 50 MB, and a sweep holds three such streams.
TEST_F(PlanCommand, StreamMemoryIsThatOfQuantize) {
  const std::string work = "--recipe published --threads 1 --json ";
  const json whole = json::parse(plan(work).out);
  EXPECT_EQ(whole.at("scratch_bytes"), 0);
  const auto below = [](const json& other) {
    return fmt::format("--memory-limit {}", other.at("peak_bytes").get<int64_t>() - 1);
  };
  // First the copy of the state goes, which is written beside the next epoch.
  const json waiting = json::parse(plan(work + below(whole)).out);
  EXPECT_EQ(whole.at("save_beside"), true);
  EXPECT_EQ(waiting.at("save_beside"), false);
  EXPECT_EQ(plan(work + below(waiting)).exit_code, 2);
  const ProgramRun less = plan(work + below(waiting) + " --stream-memory 1MB");
  ASSERT_EQ(less.exit_code, 0) << less.err;
  const json object = json::parse(less.out);
  ASSERT_EQ(object.at("save_beside"), true);  // there is room for it again
  EXPECT_EQ(object.at("scratch_bytes"),
            whole.at("peak_bytes").get<int64_t>() - object.at("peak_bytes").get<int64_t>());
  EXPECT_EQ(object.at("scratch_bytes"), 3 * 128 * 512 * 192 * 4 - 1'000'000);
}

// Five ranks share a batch of eight no better than four. Both count memory in one way.
TEST_F(PlanCommand, QuantizeTakesTheMeshThatWasPlanned) {
  const std::string work = "--samples 8 --seq-len 64 --batch 8 --threads 1 ";
  const auto files = posix_files();
  for (const int ranks : {3, 5}) {
    for (const char* more : {"", "--stages 1"}) {
      const json planned =
          json::parse(plan(work + more + " --json --ranks " + std::to_string(ranks)).out);
      std::istringstream words("quantize --model " + books +
                               " --calib " BITMILL_SOURCE_DIR
                               "/tests/data/books/calib.txt --output-dir " +
                               folder_ / "result" + " " + work + more);
      const std::vector<std::string> all(std::istream_iterator<std::string>(words), {});
      QuantizeJob job(read_quantize_request(*files, read_invocation(*files, all).settings));
      job.check({*files, ranks, 1, {1, 0}});
      EXPECT_EQ(planned.at("stages"), job.forecast().mesh.stages);
      EXPECT_EQ(planned.at("replicas"), job.forecast().mesh.replicas);
      EXPECT_EQ(planned.at("replicas"), ranks == 5 ? 4 : 3);
      EXPECT_EQ(planned.at("peak_bytes"), job.forecast().peak_memory_bytes);
      EXPECT_EQ(planned.at("state_bytes"), job.forecast().state_bytes);
    }
  }
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
  refused("--stream-memory 0", "--stream-memory");
}

// In the words of quantize.
TEST_F(PlanCommand, WhatQuantizeWouldRefuseIsNotForecast) {
  const auto refused = [&](const std::string& words, const std::string& message) {
    const ProgramRun result = plan(words);
    EXPECT_EQ(result.exit_code, 2) << words << result.err;
    EXPECT_THAT(result.err, HasSubstr(message)) << words;
    EXPECT_EQ(result.out, "") << words;
  };
  refused("--batch 9 --samples 8", "--batch 9 is more than the 8 samples");
  refused("--seq-len 513", "sequences of 513 tokens are longer than the context");
  refused("--ignore [", "is not a regular expression");
  refused("--loss-normal 0 --loss-homologous 0", "--loss-normal is 0");
}

TEST_F(PlanCommand, AMemoryThatNothingFitsIsRefusedBeforeMeasuring) {
  const ProgramRun result =
      plan("--calibrate --memory-limit 1K --scratch-dir " + folder_ / "trial");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("the smallest memory that would is"));
  EXPECT_EQ(result.err.find("measuring"), std::string::npos) << result.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "trial"));
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
