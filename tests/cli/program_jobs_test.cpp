// The program itself does jobs, and the tests look at their results.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/files.hpp"
#include "cli/program_fixture.hpp"

namespace bitmill {
namespace {

using ::testing::HasSubstr;

TEST_F(Program, DryRunListsEverythingThatIsWrongWithAFolder) {
  folder_.write("model/config.json", R"({"architectures": ["SomeForCausalLM"], "hidden_size": 8})");
  folder_.write("model/model.safetensors", "cut");
  const ProgramRun result =
      run("quantize --dry-run --json --model " + folder_ / "model" + " --calib " +
          folder_ / "missing.txt" + " --output-dir " + folder_ / "result");
  EXPECT_EQ(result.exit_code, 1) << "not only the command line is wrong";
  EXPECT_EQ(result.out, "");
  for (const char* part : {"SomeForCausalLM", "is truncated", "missing.txt", "tokenizer.json"}) {
    EXPECT_THAT(result.err, HasSubstr(part));
  }
}

TEST_F(Program, ADryRunSaysWhatWouldBeDoneAndWritesNothing) {
  const ProgramRun people = quantize("--samples 8 --seq-len 32 --dry-run");
  EXPECT_EQ(people.exit_code, 0) << people.err;
  EXPECT_THAT(people.out, HasSubstr("recipe published: 8 windows of 32 tokens"));
  const ProgramRun script = quantize("--samples 8 --seq-len 32 --dry-run --json");
  EXPECT_EQ(script.exit_code, 0) << script.err;
  const auto plan = nlohmann::json::parse(script.out);
  EXPECT_EQ(plan.at("samples"), 8);
  EXPECT_GT(plan.at("packed_bytes"), 0);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "result"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "result.work"));
}

TEST_F(Program, JsonIsExactlyOneObjectOnStandardOutput) {
  const ProgramRun result = run("inspect --json " + books);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto counts = nlohmann::json::parse(result.out);
  EXPECT_GT(counts.at("file_bytes"), 0);
  EXPECT_TRUE(counts.at("linears").empty());  // a 16-bit folder
}

TEST_F(Program, QuantizeInspectEvaluateAndExportWorkOnEachOthersResults) {
  const ProgramRun packed =
      quantize("--samples 4 --seq-len 32 --epochs 2 --max-blocks 1 --threads 1 --json --trace " +
               folder_ / "trace.json");
  ASSERT_EQ(packed.exit_code, 0) << packed.err;
  double trained = 0;  // microseconds, by the run's own clock: the second process
  const auto trace = nlohmann::json::parse(folder_.read("trace.json"));
  for (const auto& event : trace.at("traceEvents")) {
    if (event.at("name") == "O0.0" && event.at("pid") == 1) trained = event.at("dur");
  }
  EXPECT_GT(trained, 0);
  const auto summary = nlohmann::json::parse(packed.out);
  EXPECT_EQ(summary.at("blocks").size(), 1u);
  EXPECT_NEAR(
      summary.at("state_bytes").get<double>() / summary.at("planned_state_bytes").get<double>(), 1,
      0.05);
  EXPECT_THAT(packed.err, HasSubstr("block 1/1 · epoch 2/2"));
  EXPECT_THAT(packed.err, HasSubstr("bits per weight"));
  EXPECT_THAT(packed.err, HasSubstr("state on disk"));

  const ProgramRun counted = run("inspect --json " + folder_ / "result");
  ASSERT_EQ(counted.exit_code, 0) << counted.err;
  const auto counts = nlohmann::json::parse(counted.out);
  EXPECT_EQ(counts.at("bits_per_weight"), summary.at("bits_per_weight"));
  EXPECT_EQ(counts.at("linears").size(), 7u);

  ASSERT_EQ(run("export --dtype float32 --model " + folder_ / "result" + " --output-dir " +
                folder_ / "exported")
                .exit_code,
            0);
  const std::string corpus = " --json --seq-len 32 --max-windows 4 --corpus " BITMILL_SOURCE_DIR
                             "/tests/data/books/eval.txt";
  const ProgramRun before = run("eval --model " + folder_ / "result" + corpus);
  const ProgramRun after =
      run("eval --model " + folder_ / "exported" + corpus + " --reference " + folder_ / "result");
  ASSERT_EQ(before.exit_code, 0) << before.err;
  ASSERT_EQ(after.exit_code, 0) << after.err;
  const auto figures = nlohmann::json::parse(after.out);
  EXPECT_EQ(figures.at("tokens"), 4 * 31);
  EXPECT_NEAR(figures.at("kl"), 0, 1e-6);
  const double perplexity = nlohmann::json::parse(before.out).at("perplexity");
  EXPECT_NEAR(figures.at("perplexity"), perplexity, 1e-5 * perplexity);

  const ProgramRun again =
      quantize("--samples 4 --seq-len 32 --epochs 2 --max-blocks 1 --threads 1 --json");
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(nlohmann::json::parse(again.out).at("already_done"), true);
}

TEST_F(Program, TuningStoppedByItsTimeLimitIsGoneOnWith) {
  ASSERT_EQ(quantize("--samples 2 --seq-len 16 --epochs 1 --threads 1").exit_code, 0);
  const std::string words = "tune --model " + folder_ / "result" + " --reference " + books +
                            " --calib " + calib +
                            " --samples 6 --seq-len 16 --epochs 2 --threads 1"
                            " --json --output-dir " +
                            folder_ / "tuned";
  const ProgramRun planned = run(words + " --dry-run");
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  EXPECT_EQ(nlohmann::json::parse(planned.out).at("train_windows"), 5);
  EXPECT_THAT(planned.err, HasSubstr("only 1 window is held out"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "tuned.work"));
  const ProgramRun stopped = run(words + " --time-limit 0");
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("the time limit: stopped after 0 epochs"));
  const ProgramRun status = run("status --work-dir " + folder_ / "tuned.work");
  EXPECT_THAT(status.out, HasSubstr("stopped"));
  EXPECT_THAT(status.out, HasSubstr("epoch 0 of at most 2"));

  const ProgramRun done = run(words);
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.err, HasSubstr("epoch 2/2 · training KL"));
  const auto figures = nlohmann::json::parse(done.out);
  EXPECT_EQ(figures.at("held_out_kl").size(), 3u);
  EXPECT_LE(figures.at("kl_after"), figures.at("kl_before"));
  const ProgramRun finished = run("status --json --work-dir " + folder_ / "tuned.work");
  const auto found = nlohmann::json::parse(finished.out);
  EXPECT_EQ(found.at("job"), "tune");
  EXPECT_EQ(found.at("tuning").at("epochs_done"), 2);
  EXPECT_EQ(run("verify --work-dir " + folder_ / "tuned.work").exit_code, 0);
  EXPECT_EQ(run("inspect " + folder_ / "tuned").exit_code, 0);
}

TEST_F(Program, PreprocessMakesItsBaseStopsAtItsTimeLimitAndGoesOn) {
  const std::string words =
      "preprocess --model " + books + " --corpus " + calib + " --calib " + calib +
      " --base-recipe parallel --samples 8 --seq-len 16 --pack --steps 3 --rank 2 --targets q,down"
      " --threads 1 --json --output-dir " +
      folder_ / "merged";
  const ProgramRun planned = run(words + " --dry-run");
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  const auto forecast = nlohmann::json::parse(planned.out);
  EXPECT_EQ(forecast.at("steps"), 3);
  EXPECT_GT(forecast.at("peak_memory_bytes"), 100'000'000);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "merged.work-base"));
  EXPECT_EQ(run(words + " --time-limit 0").exit_code, 75);  // in the base

  const ProgramRun done = run(words + " --timeline " + folder_ / "losses.html");
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.err, HasSubstr("step 3/3 · loss"));
  const auto figures = nlohmann::json::parse(done.out);
  EXPECT_EQ(figures.at("steps"), 3);
  for (const char* key : {"loss", "held_out", "seconds"}) EXPECT_GT(figures.at(key), 0) << key;
  const std::string base = folder_ / "merged.work-base";
  EXPECT_EQ(run("inspect " + base).exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "merged.work-corpus"));
  const auto found =
      nlohmann::json::parse(run("status --json --work-dir " + folder_ / "merged.work").out);
  EXPECT_EQ(found.at("job"), "preprocess");
  EXPECT_EQ(found.at("preprocess").at("steps_done"), 3);
  ASSERT_EQ(found.at("losses").size(), 4u);  // of the base, and after each step
  EXPECT_EQ(found["losses"][3].at("held_out"), figures.at("held_out"));
  EXPECT_EQ(found["losses"][0].at("held_out"), figures.at("held_out_before"));
  EXPECT_THAT(read_text(*posix_files(), folder_ / "losses.html"), HasSubstr("\"x\":\"step\""));
  EXPECT_EQ(
      run("status --work-dir " + folder_ / "merged.work" + " --timeline " + folder_ / "later.html")
          .exit_code,
      0);
  EXPECT_EQ(read_text(*posix_files(), folder_ / "later.html"),
            read_text(*posix_files(), folder_ / "losses.html"));
  EXPECT_THAT(run("report --work-dir " + folder_ / "merged.work").out,
              HasSubstr("step 0: held-out "));
  EXPECT_THAT(run("status --work-dir " + base + ".work --timeline " + folder_ / "none.html").err,
              HasSubstr("no loss was logged"));
  EXPECT_THAT(run(words + " --timeline " + folder_ / "merged/losses.html").err,
              HasSubstr("lies in --output-dir"));
  EXPECT_EQ(run("verify --work-dir " + folder_ / "merged.work").exit_code, 0);

  const std::string on_base = "preprocess --model " + books + " --corpus " + calib + " --packed " +
                              base +
                              " --seq-len 16 --pack --steps 3 --rank 2 --targets q,down"
                              " --threads 1 --json --output-dir ";
  EXPECT_EQ(run(on_base + folder_ / "other" + " --time-limit 0").exit_code, 75);
  ASSERT_EQ(run(on_base + folder_ / "other").exit_code, 0);
  EXPECT_EQ(read_text(*posix_files(), folder_ / "other/model.safetensors"),
            read_text(*posix_files(), folder_ / "merged/model.safetensors"));
  EXPECT_THAT(run(on_base + folder_ / "third" + " --samples 3").err,
              HasSubstr("exclude each other"));
  EXPECT_THAT(run(on_base + folder_ / "third" + " --dropout 1").err, HasSubstr("below 1"));
}

// config.json is enough, and no rank has to be there.
TEST_F(Program, PreprocessForecastsAShapeOnAnyNumberOfRanks) {
  std::filesystem::create_directory(folder_ / "shape");
  std::filesystem::copy_file(books + "/config.json", folder_ / "shape/config.json");
  const std::string words =
      "preprocess --dry-run --json --seq-len 64 --model " + folder_ / "shape" + " --ranks ";
  const ProgramRun one = run(words + "1"), eight = run(words + "8 --stages 4");
  ASSERT_EQ(one.exit_code, 0) << one.err;
  ASSERT_EQ(eight.exit_code, 0) << eight.err;
  const auto alone = nlohmann::json::parse(one.out), many = nlohmann::json::parse(eight.out);
  EXPECT_EQ(alone.at("steps"), 10'000);
  EXPECT_EQ(many.at("replicas"), 2);
  EXPECT_GT(alone.at("memory").at("packed"), many.at("memory").at("packed"));
  EXPECT_THAT(run(words + "8").err, HasSubstr("6 of 8 ranks will idle"));
  EXPECT_THAT(run(words + "8 --stages 3").err, HasSubstr("--stages is 3"));
  EXPECT_THAT(run(words + "1 --rank 4000").err, HasSubstr("--rank 4000 is above"));
  EXPECT_THAT(run("preprocess --ranks 8 --model " + books).err, HasSubstr("--dry-run"));
}

TEST_F(Program, ATokenFileStandsForItsText) {
  const std::string tokens = folder_ / "calib.safetensors";
  const ProgramRun made =
      run("tokenize --model " + books + " --corpus " + calib + " --output " + tokens);
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const std::string rest = " --dry-run --json --samples 8 --seq-len 32 --model " + books +
                           " --output-dir " + folder_ / "result" + " --calib ";
  const auto from_text = nlohmann::json::parse(run("quantize" + rest + calib).out);
  const auto from_tokens = nlohmann::json::parse(run("quantize" + rest + tokens).out);
  EXPECT_EQ(from_text.at("fingerprint"), from_tokens.at("fingerprint"));
}

TEST_F(Program, RunTakesAWholePipelineFromAConfig) {
  const std::string config =
      folder_.write("all.cfg", "[run]\nthreads = 1\n[quantize]\nmodel = " + books +
                                   "\ncalib = " + calib + "\noutput-dir = " + folder_ / "result" +
                                   "\nsamples = 4\nseq-len = 32\nepochs = 1\n[eval]\ncorpus = " +
                                   BITMILL_SOURCE_DIR "/tests/data/books/eval.txt" +
                                   "\nmax-windows = 2\nseq-len = 32\n");
  const ProgramRun result = run("run --json --config " + config);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto figures = nlohmann::json::parse(result.out);
  EXPECT_GT(figures.at("perplexity"), figures.at("perplexity_original"));
  EXPECT_LT(figures.at("bits_per_weight"), 3);
}

TEST_F(Program, AWorkFolderIsVerifiedAndReportedOnWithoutAChange) {
  // The rate overflows in the first block: a run that failed for good.
  const ProgramRun failed =
      quantize("--samples 4 --seq-len 32 --epochs 2 --max-blocks 1 --threads 1 --lr-gain 1e30");
  EXPECT_EQ(failed.exit_code, 1) << failed.err;
  const ProgramRun report = run("report --work-dir " + folder_ / "result.work");
  EXPECT_EQ(report.exit_code, 0) << report.err;
  for (const char* part :
       {"arithmetic", "Open MPI", "\nrun\n", "the loss of block 0", "\"salient_ratio\": \"0.2\"",
        "what every rank did last", "block 0, train", "\nfiles\n"}) {
    EXPECT_THAT(report.out, HasSubstr(part));
  }

  const ProgramRun done =
      quantize("--samples 4 --seq-len 32 --epochs 2 --max-blocks 1 --threads 1");
  ASSERT_EQ(done.exit_code, 0) << done.err;
  const ProgramRun verified = run("verify --work-dir " + folder_ / "result.work");
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
  EXPECT_THAT(verified.out, HasSubstr("are whole"));
  folder_.write("result.work/state-0002/run.json", "{}");  // the second start's
  const ProgramRun damaged = run("verify --json --work-dir " + folder_ / "result.work");
  EXPECT_EQ(damaged.exit_code, 1);
  const auto found = nlohmann::json::parse(damaged.out);
  EXPECT_EQ(found.at("sound"), false);
  EXPECT_THAT(found.at("faults").at(0).at("what").get<std::string>(), HasSubstr("run.json"));
}

}  // namespace
}  // namespace bitmill
