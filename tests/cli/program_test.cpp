// The program itself, run as a user runs it: answers, mistakes and refusals, their exit codes, and
// what is said on which stream.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/program_fixture.hpp"  // needs BITMILL_SOURCE_DIR
#include "product/cpu_kernel.hpp"

namespace bitmill {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(Program, HelpAndVersionAreAnswersOnStandardOutput) {
  for (const char* words : {"help", "--help", "-h", "--version"}) {
    const ProgramRun result = run(words);
    EXPECT_EQ(result.exit_code, 0) << words;
    EXPECT_THAT(result.out, HasSubstr("bitmill")) << words;
    EXPECT_EQ(result.err, "") << words;
  }
}

TEST_F(Program, TheVersionNamesTheKernelThatComputesProducts) {
  EXPECT_THAT(run("--version").out, HasSubstr("CPU kernel " + usable_cpu_kernels().front() + "\n"));
}

TEST_F(Program, HelpOfACommandShowsAnExampleAndTheDefaults) {
  const ProgramRun result = run("help quantize");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("usage: bitmill quantize --model DIR"));
  EXPECT_THAT(result.out, HasSubstr("example:"));
  EXPECT_THAT(result.out, HasSubstr("(default: 128)"));
  EXPECT_EQ(run("quantize --help").out, result.out);
}

TEST_F(Program, NoWordsAtAllIsAMistakeThatIsExplained) {
  const ProgramRun result = run("");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("usage: bitmill COMMAND"));
}

TEST_F(Program, AnUnknownCommandListsWhatThereIs) {
  const ProgramRun result = run("quantise");
  expect_usage_error(result, "did you mean quantize?");
  EXPECT_THAT(
      result.err,
      HasSubstr("quantize, tune, preprocess, eval, generate, serve, bench, inspect, export, "
                "tokenize, run"));
  expect_usage_error(run("splat"), "bitmill splat is not there yet");
  expect_usage_error(run("help splat"), "bitmill splat is not there yet");
}

// The state fits below the limit, the result does not.
TEST_F(Program, AFileLimitThatIsTooLowIsAnErrorAndNothingIsLost) {
  const std::string words = "quantize --model " + books + " --calib " + calib + " --output-dir " +
                            folder_ / "result" +
                            " --max-blocks 1 --samples 2 --seq-len 32 --epochs 1";
  const ProgramRun limited = run_program_in(folder_, "ulimit -f 512;", words);
  EXPECT_EQ(limited.exit_code, 1) << limited.err;
  EXPECT_THAT(limited.err, HasSubstr("File too large; raise the limit on the size of files"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "result"));
  const ProgramRun again = run(words + " --resume required");
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("1 of 1 blocks are packed"));
}

// As it lingers in shells, containers and images.
TEST_F(Program, AnEndTimeOfAFormerJobStopsNothing) {
  for (const char* end : {"1700000000", "''", "soon"}) {
    const std::string name = std::string("ended-") + (end[0] == '\'' ? "empty" : end);
    const ProgramRun result =
        run_program_in(folder_, std::string("SLURM_JOB_END_TIME=") + end,
                       "quantize --model " + books + " --calib " + calib + " --output-dir " +
                           folder_ / name + " --max-blocks 1 --samples 2 --seq-len 32 --epochs 1");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("SLURM_JOB_END_TIME is \""));
  }
}

TEST_F(Program, AMissingModelIsOneClearMessage) {
  const std::string missing = folder_ / "nowhere";
  const ProgramRun result = run("eval --model " + missing + " --corpus " + calib);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, StartsWith("bitmill: error: "));
  EXPECT_THAT(result.err, HasSubstr(missing));
  EXPECT_EQ(result.out, "");
}

TEST_F(Program, WrongOptionsAreRefusedBeforeAnythingIsWritten) {
  expect_usage_error(quantize("--sample 3"), "did you mean --samples?");
  expect_usage_error(quantize("--backend reference --dtype bfloat16"), "computes in float32");
  expect_usage_error(quantize("--batch 9 --samples 8"), "--batch 9");
  expect_usage_error(quantize("--lag 3"), "try 2 or 4");
  expect_usage_error(quantize("--threads 0"), "--threads");
  expect_usage_error(quantize("--timeline nowhere/t.html"), "there is no folder nowhere");
  expect_usage_error(quantize("--timeline " + folder_ / "t" + " --trace " + folder_ / "t"),
                     "give two files");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "result"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "result.work"));
}

// The models do not exist: whoever read them first would complain about that.
TEST_F(Program, APlaceWhereNothingCanBeMadeIsFoundBeforeAnyWork) {
  std::filesystem::create_symlink(folder_ / "gone", folder_ / "link");
  folder_.write("file", "");
  const std::string link = folder_ / "link", inside = folder_ / "link/inner";
  const std::string model = " --model " + folder_ / "nowhere";
  const std::string words = "is a link to something that does not exist";
  EXPECT_THAT(run("quantize --calib c.txt --output-dir " + link + model).err, HasSubstr(words));
  EXPECT_THAT(run("quantize --calib c.txt --output-dir " + folder_ / "made" + " --work-dir " +
                  inside + model)
                  .err,
              HasSubstr(words));
  expect_usage_error(run("tune --calib c.txt --reference " + folder_ / "nothing" +
                         " --output-dir " + link + model),
                     words);
  expect_usage_error(run("export --output-dir " + inside + model), words);
  expect_usage_error(run("eval --corpus c.txt --stream-memory 1M --scratch-dir " + link + model),
                     words);
  expect_usage_error(run("plan --calibrate --scratch-dir " + link + model), words);
  expect_usage_error(run("plan --calibrate --save " + folder_ / "no/x.cfg" + model),
                     "there is no folder");
  expect_usage_error(run("plan --timeline " + folder_ / "file/x.html" + model),
                     "there is no folder");
  expect_usage_error(
      run("tokenize --corpus c.txt --output " + folder_ / "no/t.safetensors" + model),
      "there is no folder");
  expect_usage_error(
      run("tokenize --corpus " + calib + " --output " + books + "/t.safetensors --model " + books),
      "lies in the model folder");
  expect_usage_error(run("export --model " + folder_.path() + " --output-dir " + folder_ / "made"),
                     "lies in --model");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "made"));
}

TEST_F(Program, AConfigWithoutALineForTheCommandIsRefused) {
  const std::string config = folder_.write("c.cfg", "[eval]\nseq-len = 32\n");
  expect_usage_error(quantize("--config " + config),
                     "sets nothing in [quantize], the section of this command; it has [eval]");
}

TEST_F(Program, WhatOneShouldKnowOfTheCalibrationIsSaidAndIsInTheJson) {
  const ProgramRun result =
      quantize("--dry-run --json --seq-len 256 --samples 600 --ignore layers.1.*o_proj");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("note: 600 windows of 256 tokens are drawn"));
  EXPECT_THAT(result.err, HasSubstr("keeps 1 of 28 linears as they are: o_proj in block 1"));
  EXPECT_GE(nlohmann::json::parse(result.out).at("notes").size(), 2u);
}

TEST_F(Program, AFolderWithOtherFilesIsNotTouched) {
  folder_.write("result/notes.txt", "mine");
  const ProgramRun result = quantize("--samples 8 --seq-len 32");
  expect_usage_error(result, "result");
  EXPECT_EQ(folder_.read("result/notes.txt"), "mine");
}

}  // namespace
}  // namespace bitmill
