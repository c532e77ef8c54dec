// Where values come from and which one wins: command line, config file, recipe.

#include "cli/options/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "cli/commands/invocation.hpp"
#include "cli/options/config_file.hpp"
#include "cli/options/quantize_options.hpp"
#include "cli/options/recipe.hpp"
#include "device/device.hpp"
#include "device/host_product.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::HasSubstr;

// The message of the UsageError that `step` throws; empty when it throws none.
std::string complaint(const std::function<void()>& step) {
  try {
    step();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

QuantizeRequest read_request(std::vector<std::string> words) {
  const auto files = posix_files();
  words.insert(words.begin(),
               {"quantize", "--model", "m", "--output-dir", "out", "--calib", "c.txt"});
  return read_quantize_request(*files, read_invocation(*files, words).settings);
}

TEST(ConfigFile, HoldsSectionsCommentsAndQuotedValues) {
  const auto entries = parse_config(
      "# a comment\n"
      "top = 1\n"
      "[quantize]\n"
      "  samples = 32   # as in the paper\r\n"
      "\n"
      "ignore = \"a # b \"\n"
      "tag = x#y",
      "x.cfg");
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[0].section, "");
  EXPECT_EQ(entries[1].section, "quantize");
  EXPECT_EQ(entries[1].key, "samples");
  EXPECT_EQ(entries[1].value, "32");
  EXPECT_EQ(entries[1].line, 4);
  EXPECT_EQ(entries[2].value, "a # b ");
  EXPECT_EQ(entries[3].value, "x#y");
}

TEST(ConfigFile, SaysFileAndLineOfWhatItDoesNotUnderstand) {
  EXPECT_THAT(complaint([] { parse_config("a = 1\nnonsense\n", "x.cfg"); }),
              HasSubstr("x.cfg line 2"));
  EXPECT_THAT(complaint([] { parse_config("[half\n", "x.cfg"); }), HasSubstr("x.cfg line 1"));
  EXPECT_THAT(complaint([] { parse_config("a = 1\nb = 2\na = 3\n", "x.cfg"); }),
              HasSubstr("a twice, in lines 1 and 3"));
  EXPECT_THAT(complaint([] { parse_config(" = 1\n", "x.cfg"); }), HasSubstr("key = value"));
}

TEST(Recipe, PublishedIsTheDefaultAndEqualsTheDefaultsOfThePipeline) {
  const QuantizeOptions options = read_request({}).options;
  const QuantizeOptions defaults;
  EXPECT_EQ(options.recipe, "published");
  EXPECT_EQ(options.samples, defaults.samples);
  EXPECT_EQ(options.epochs, defaults.epochs);
  EXPECT_EQ(options.batch, defaults.batch);
  EXPECT_EQ(options.lag, options.epochs);
  EXPECT_EQ(options.method.salient_ratio.text(), defaults.method.salient_ratio.text());
  EXPECT_EQ(options.method.saliency, defaults.method.saliency);
  EXPECT_EQ(options.method.int4_range, defaults.method.int4_range);
  EXPECT_EQ(options.method.lr_scale, defaults.method.lr_scale);
  EXPECT_EQ(options.method.lr_gain, defaults.method.lr_gain);
}

TEST(Recipe, ParallelIsBatchEightWithEightfoldRatesInFourTurns) {
  const QuantizeOptions options = read_request({"--recipe", "parallel"}).options;
  EXPECT_EQ(options.recipe, "parallel");
  EXPECT_EQ(options.batch, 8);
  EXPECT_DOUBLE_EQ(options.method.lr_scale, 8 * 5e-4);
  EXPECT_DOUBLE_EQ(options.method.lr_gain, 8 * 1e-3);
  EXPECT_EQ(options.epochs, 20);
  EXPECT_EQ(options.lag, 5);
}

TEST(Recipe, SingleOptionsWinOverItAndItsLagFollowsTheEpochs) {
  const QuantizeOptions options =
      read_request({"--recipe", "parallel", "--batch", "4", "--epochs", "10"}).options;
  EXPECT_EQ(options.batch, 4);
  EXPECT_EQ(options.lag, 2);
  EXPECT_DOUBLE_EQ(options.method.lr_scale, 4e-3);
}

TEST(Recipe, MayBeAFileOfOnesOwnThatIsNamedAfterIt) {
  const TempFolder folder;
  const std::string path = folder.write("mine.cfg", "epochs = 3\nsaliency = mean\n");
  const QuantizeOptions options = read_request({"--recipe", path}).options;
  EXPECT_EQ(options.recipe, "mine");
  EXPECT_EQ(options.epochs, 3);
  EXPECT_EQ(options.method.saliency, Saliency::mean);
}

TEST(Recipe, MayNotSetWhatBelongsToAMachineOrRun) {
  const TempFolder folder;
  const std::string path = folder.write("bad.cfg", "epochs = 3\nthreads = 2\n");
  EXPECT_THAT(complaint([&] {
                read_request({"--recipe", path});
              }),
              HasSubstr("line 2: there is no setting \"threads\""));
}

TEST(Recipe, AnUnknownOneListsWhatThereIs) {
  const std::string message = complaint([] { read_request({"--recipe", "paralel"}); });
  EXPECT_THAT(message, HasSubstr("did you mean parallel?"));
  EXPECT_THAT(message, HasSubstr("published"));
}

TEST(Precedence, CommandLineThenConfigThenRecipe) {
  const TempFolder folder;
  const std::string config = folder.write("c.cfg",
                                          "[quantize]\nrecipe = parallel\nepochs = 8\nseed = 5\n"
                                          "[eval]\nmax-windows = 3\n");
  const QuantizeOptions options = read_request({"--config", config, "--seed", "6"}).options;
  EXPECT_EQ(options.seed, 6u);   // the command line, over the config's 5
  EXPECT_EQ(options.epochs, 8);  // the config, over the recipe's 20
  EXPECT_EQ(options.batch, 8);   // the recipe
  EXPECT_EQ(options.lag, 2);     // the recipe's epochs/4, of the config's epochs
}

TEST(Config, KeysAndSectionsThatDoNotExistAreNamedWithFileAndLine) {
  const TempFolder folder;
  const std::string key = folder.write("key.cfg", "[quantize]\n\nsample = 3\n");
  EXPECT_THAT(
      complaint([&] {
        read_request({"--config", key});
      }),
      HasSubstr("key.cfg line 3: there is no setting \"sample\" here (did you mean samples"));
  const std::string section = folder.write("section.cfg", "[quantise]\nsamples = 3\n");
  EXPECT_THAT(complaint([&] {
                read_request({"--config", section});
              }),
              HasSubstr("line 2: there is no section [quantise] (did you mean quantize"));
}

TEST(Config, AComplaintAboutAValueNamesItsLine) {
  const TempFolder folder;
  const std::string config = folder.write("c.cfg", "[quantize]\nbatch = many\n");
  EXPECT_THAT(complaint([&] {
                read_request({"--config", config});
              }),
              HasSubstr("batch in line 2 of " + config + ": expected a whole number"));
}

TEST(CommandLine, MistakesAreNamed) {
  EXPECT_THAT(complaint([] {
                read_request({"--sample", "3"});
              }),
              HasSubstr("no option --sample (did you mean --samples?)"));
  EXPECT_THAT(complaint([] {
                read_request({"--samples", "3", "--samples", "4"});
              }),
              HasSubstr("--samples is given twice"));
  EXPECT_THAT(complaint([] {
                read_request({"--samples", "--json"});
              }),
              HasSubstr("--samples needs a value"));
  EXPECT_THAT(complaint([] { read_request({"--samples"}); }), HasSubstr("samples"));
  EXPECT_THAT(complaint([] { read_request({"stray"}); }), HasSubstr("\"stray\""));
  EXPECT_THAT(complaint([] { read_request({"--json=yes"}); }), HasSubstr("json"));
}

TEST(CommandLine, MissingOptionsAreListedTogether) {
  const auto files = posix_files();
  EXPECT_EQ(complaint([&] {
              read_quantize_request(*files,
                                    read_invocation(*files, {"quantize", "--model", "m"}).settings);
            }),
            "bitmill quantize needs --output-dir and --calib; see bitmill help quantize");
}

TEST(QuantizeRequests, ValuesOutOfRangeAreRefused) {
  const std::vector<std::vector<std::string>> wrong = {
      {"--samples", "0"},        {"--samples", "-1"},       {"--samples", "3x"},
      {"--epochs", "0"},         {"--epochs", "1e3"},       {"--batch", "0"},
      {"--seq-len", "1"},        {"--max-blocks", "-1"},    {"--lr-scale", "nan"},
      {"--lr-scale", "inf"},     {"--lr-gain", "-1e-3"},    {"--salient-ratio", "1.5"},
      {"--saliency", "median"},  {"--int4-range", "col"},   {"--seed", "-3"},
      {"--stream-memory", "0"},  {"--max-shard-size", "x"}, {"--lag", "3"},
      {"--resume", "sometimes"}, {"--walk", "zigzag"},      {"--backend", "gpu"},
      {"--dtype", "float16"},    {"--stages", "0"}};
  for (const auto& words : wrong) {
    EXPECT_NE(complaint([&] { read_request(words); }), "") << words[0] << " " << words[1];
  }
}

TEST(QuantizeRequests, WhatThisVersionCannotDoIsRefusedWithAReason) {
  EXPECT_THAT(complaint([] {
                read_request({"--backend", "reference", "--dtype", "bfloat16"});
              }),
              HasSubstr("float32"));
  const std::string on_cpu = complaint([] {
    read_request({"--backend", "cpu", "--dtype", "bfloat16"});
  });
  EXPECT_EQ(on_cpu.empty(), why_no_bfloat16().empty()) << on_cpu;
  EXPECT_EQ(complaint([] {
              read_request(
                  {"--dtype", "float32", "--stages", "1", "--walk", "sweep", "--resume", "never"});
            }),
            "");
}

TEST(QuantizeRequests, AGpuIsTakenWhereThereIsOneAndAskedForInVainWhereThisBuildHasNoCuda) {
  const CudaHost host = find_cuda_devices();
  const QuantizeOptions chosen = read_request({}).options;
  const bool usable = host.compiled && host.problem.empty();
  EXPECT_EQ(chosen.backend, usable ? "cuda" : "cpu");
  EXPECT_EQ(chosen.dtype, usable ? Dtype::bfloat16 : Dtype::float32);
  if (host.compiled) {
    EXPECT_EQ(read_request({"--backend", "cuda", "--dtype", "float32"}).options.dtype,
              Dtype::float32);
    return;
  }
  EXPECT_THAT(complaint([] {
                read_request({"--backend", "cuda"});
              }),
              HasSubstr("built without CUDA"));
}

TEST(QuantizeRequests, LearnedSignsBringTheCosineAndRatesNeedWhatTheyAreFor) {
  const MethodSettings plain = read_request({}).options.method;
  EXPECT_TRUE(plain.schedule == RateSchedule::constant);
  EXPECT_FALSE(plain.learned.signs);
  const MethodSettings signs = read_request({"--learn-signs", "--lr-sign", "1e-2"}).options.method;
  EXPECT_TRUE(signs.schedule == RateSchedule::cosine);
  EXPECT_EQ(signs.lr_sign, 1e-2);
  EXPECT_TRUE(
      read_request({"--learn-signs", "--lr-schedule", "constant"}).options.method.schedule ==
      RateSchedule::constant);
  for (const char* option : {"--lr-sign", "--lr-mean", "--lr-code-scale"}) {
    EXPECT_THAT(complaint([&] {
                  read_request({option, "1e-2"});
                }),
                HasSubstr(std::string(option) + " has no effect without --learn-"));
  }
}

TEST(QuantizeRequests, ContradictionsAreRefused) {
  EXPECT_THAT(complaint([] {
                read_request({"--batch", "9", "--samples", "8"});
              }),
              HasSubstr("--batch 9 is more than the 8 samples"));
  EXPECT_THAT(complaint([] {
                read_request({"--work-dir", "out/work"});
              }),
              HasSubstr("lies in the output folder"));
  EXPECT_THAT(complaint([] {
                read_request({"--work-dir", "m"});
              }),
              HasSubstr("lies in the model folder"));
  EXPECT_THAT(complaint([] {
                read_request({"--scratch-dir", "out"});
              }),
              HasSubstr("--scratch-dir out lies in the output folder"));
  EXPECT_THAT(complaint([] {
                read_request({"--scratch-dir", "m/tmp"});
              }),
              HasSubstr("--scratch-dir m/tmp lies in the model folder"));
  const auto files = posix_files();
  EXPECT_THAT(complaint([&] {
                read_quantize_request(
                    *files, read_invocation(*files, {"quantize", "--model", "m/", "--output-dir",
                                                     "m", "--calib", "c.txt"})
                                .settings);
              }),
              HasSubstr("lies in the model folder"));
}

TEST(QuantizeRequests, FoldersFollowTheOutputFolder) {
  const QuantizeOptions options = read_request({}).options;
  EXPECT_EQ(options.work_dir, "out.work");
  EXPECT_EQ(options.scratch_dir, "out.work");
  EXPECT_FALSE(options.resume == Resume::never);

  const QuantizeOptions given =
      read_request({"--work-dir", "w/", "--resume", "never", "--max-shard-size", "1GB"}).options;
  EXPECT_EQ(given.work_dir, "w");
  EXPECT_EQ(given.scratch_dir, "w");
  EXPECT_TRUE(given.resume == Resume::never);
  EXPECT_EQ(given.max_shard_bytes, 1'000'000'000);
}

TEST(Settings, ASwitchMayBeSpelledOutInAConfig) {
  Settings settings;
  settings.add("json", {"yes", "json"});
  settings.add("dry-run", {"off", "dry-run"});
  settings.add("linears", {"maybe", "linears"});
  EXPECT_TRUE(settings.is_on("json"));
  EXPECT_FALSE(settings.is_on("dry-run"));
  EXPECT_FALSE(settings.is_on("not given"));
  EXPECT_THROW(settings.is_on("linears"), UsageError);
}

}  // namespace
}  // namespace bitmill
