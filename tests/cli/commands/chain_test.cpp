// `bitmill run`: chains that end, stop, fail and are refused.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "cli/commands/chain_fixture.hpp"
#include "cli/commands/chain_state.hpp"
#include "cli/commands/chain_status.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(Chain, FourPartsEndWithAFolderItsCardAndATableOfThemAll) {
  const Ended done = run(words("a"));
  ASSERT_EQ(done.error, "");
  const auto figures = nlohmann::json::parse(done.printed);
  const auto& parts = figures.at("parts");
  ASSERT_EQ(parts.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const char* const names[] = {"original", "preprocess", "quantize", "tune"};
    EXPECT_EQ(parts[i].at("part"), names[i]);
    EXPECT_GT(parts[i].at("perplexity"), 1);
    EXPECT_EQ(parts[i].contains("kl"), i > 0);
    EXPECT_EQ(parts[i].contains("bits_per_weight"), i > 1);
    EXPECT_EQ(parts[i].contains("seconds"), i > 0);
  }
  EXPECT_EQ(figures.at("perplexity"), parts[3].at("perplexity"));
  EXPECT_EQ(figures.at("perplexity_original"), parts[0].at("perplexity"));
  EXPECT_LT(parts[3].at("kl"), parts[2].at("kl"));
  EXPECT_THAT(folder_.read("a/README.md"),
              HasSubstr(fmt::format("perplexity {:.4f}", figures.at("perplexity").get<double>())));
  const Ended alone = run("eval --json --model " + folder_ / "a" + " --corpus " + file("eval") +
                          " --seq-len 16");  // verifies the folder first
  ASSERT_EQ(alone.error, "");
  EXPECT_EQ(nlohmann::json::parse(alone.printed).at("perplexity"), figures.at("perplexity"));

  const auto found = status(folder_ / "a.work");
  EXPECT_EQ(found.at("state"), "done");
  EXPECT_EQ(found.at("chain").at("parts").size(), 4u);
  EXPECT_EQ(read_chain(files_, folder_ / "a.work").done,
            (std::set<std::string>{base_step, "preprocess", "quantize", "tune"}));
  EXPECT_EQ(verdict(folder_ / "a.work").error, "");
  const std::string report = run("report --work-dir " + folder_ / "a.work").printed;
  for (const char* part : {"part 4: eval", "preprocess, its base: settings", "tune: files"}) {
    EXPECT_THAT(report, HasSubstr(part));
  }

  const Ended again = run(words("a"));
  ASSERT_EQ(again.error, "");
  const auto same = nlohmann::json::parse(again.printed);
  EXPECT_EQ(same.at("already_done"), true);
  EXPECT_EQ(same.at("parts"), parts);
  EXPECT_THAT(again.said, Not(HasSubstr("eval of"))) << "nothing is measured twice";
}

// In the base, in the training, where a part has just written its result, in both other parts, and
// between two folders of the evaluation; then on another number of ranks.
TEST_F(Chain, StoppedAnywhereItEndsWithTheBytesOfOneThatNobodyStopped) {
  ASSERT_EQ(run(words("a")).error, "");
  struct Place {
    std::vector<std::string> path;
    int nth;
    const char* current;  // part
  };
  const Place places[] = {{{"1-preprocess.work-base.work/", "live/"}, 2, "preprocess"},
                          {{"1-preprocess.work/", "run.json"}, 1, "preprocess"},
                          {{"b.work/2-quantize.work/", "live/"}, 3, "quantize"},
                          {{"3-tune.work/", "live/"}, 2, "tune"},
                          {{"b.work/state-", "chain.json"}, 5, "eval"}};
  int ranks = 1;
  for (const Place& place : places) {
    files_.signal_at(place.path, place.nth);
    const Ended stopped = run(words("b"), ranks);
    EXPECT_TRUE(stopped.stopped) << place.path.front() << ": " << stopped.error;
    files_.signal_at({}, 0);
    const auto found = status(folder_ / "b.work");
    EXPECT_EQ(found.at("state"), "stopped");
    EXPECT_EQ(found.at("chain").at("current"), place.current);
    EXPECT_EQ(found.at("job"), place.current == std::string("preprocess") && ranks == 1
                                   ? "quantize"  // of the base
                                   : place.current);
    EXPECT_TRUE(verdict(folder_ / "b.work").stopped);
    ranks = 3 - ranks;
  }
  ASSERT_EQ(run(words("b"), 2).error, "");
  expect_same("a", "b");
}

TEST_F(Chain, AWishBetweenTwoPartsIsHeardByTheNextOne) {
  files_.signal_at({"2-quantize.work/", "DONE"}, 1);
  const Ended stopped = run(words("a"));
  EXPECT_TRUE(stopped.stopped) << stopped.error;
  const auto found = status(folder_ / "a.work");
  EXPECT_EQ(found.at("chain").at("current"), "tune");
  EXPECT_EQ(found.at("chain").at("parts")[1].at("done"), true);
  files_.signal_at({}, 0);
  ASSERT_EQ(run(words("a")).error, "");
}

TEST_F(Chain, ATimeLimitHoldsForAllPartsTogether) {
  const Ended stopped = run(words("a") + " --time-limit 0");
  EXPECT_TRUE(stopped.stopped) << stopped.error;
  EXPECT_EQ(status(folder_ / "a.work").at("chain").at("current"), "preprocess");
}

TEST_F(Chain, AMistakeInAnySectionIsFoundBeforeAnythingIsWritten) {
  const std::string good = run_section("a") + preprocess_section() + quantize_section() +
                           tune_section() + eval_section();
  const std::pair<const char*, const char*> mistakes[] = {
      {"[run]\n", "[run]\nmodl = x\n"},
      {"[preprocess]\n", "[preprocess]\ndropout = 1\n"},
      {"[quantize]\n", "[quantize]\nlag = 3\n"},
      {"[tune]\n", "[tune]\nlr-sgn = 1\n"},
      {"[tune]\n", "[tune]\ncorpus = /nowhere/corpus.txt\n"},
      {"[tune]\n", "[tune]\nseq-len = 100\n"},
      {"[tune]\n", "[tune]\nreference = x\n"},
      {"[eval]\n", "[eval]\nmax-windows = 0\n"},
      {"[eval]\n", "[evel]\n"},
      {"[eval]\n", "[serve]\n"},
      {"/a\n", "/model/a\n"}};
  const char* const words_of[] = {"did you mean model", "below 1",      "2 or 4",     "lr-sign",
                                  "/nowhere",           "100",          "from [run]", "max-windows",
                                  "did you mean eval",  "no part of a", "lies in"};
  for (size_t i = 0; i < std::size(mistakes); ++i) {
    std::string text = good;
    const size_t at = text.find(mistakes[i].first);
    text.replace(at, std::string(mistakes[i].first).size(), mistakes[i].second);
    const Ended refused = run("run --config " + folder_.write("wrong.cfg", text));
    EXPECT_THAT(refused.error, HasSubstr(words_of[i])) << mistakes[i].second;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "a.work"));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "model/a.work"));
  }
}

TEST_F(Chain, ADryRunForecastsEveryPartAndSaysWhatItCannotKnow) {
  const Ended people = run("run --dry-run --config " + config("a"));
  ASSERT_EQ(people.error, "");
  EXPECT_THAT(people.said, AllOf(HasSubstr("part 1: preprocess"), HasSubstr("part 3: tune")));
  EXPECT_THAT(people.printed,
              AllOf(HasSubstr("6 steps of 2"), HasSubstr("bits each"),
                    HasSubstr("memory, state and time, before " + folder_ / "a.work/2-quantize")));
  const auto plan = nlohmann::json::parse(run(words("a") + " --dry-run").printed);
  ASSERT_EQ(plan.at("parts").size(), 3u);
  EXPECT_GT(plan.at("parts")[1].at("packed_bytes"), 0);
  EXPECT_EQ(plan.at("parts")[2].at("train_windows"), 6);
  EXPECT_TRUE(plan.at("parts")[2].at("peak_memory_bytes").is_null());
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a.work"));
}

TEST_F(Chain, AFailureIsRememberedUntilTheNextStart) {
  const std::string wrong =
      folder_.write("wrong.cfg", run_section("a") + "[quantize]\nepochs = 2\nlr-gain = 1e30\n" +
                                     tune_section() + eval_section());
  EXPECT_THAT(run("run --config " + wrong).error, HasSubstr("the loss of block"));
  const auto found = status(folder_ / "a.work");
  EXPECT_EQ(found.at("state"), "failed");
  EXPECT_THAT(found.at("failure").get<std::string>(), HasSubstr("the loss of block"));
  const Ended judged = verdict(folder_ / "a.work");
  EXPECT_FALSE(judged.stopped);
  EXPECT_THAT(judged.error, HasSubstr("failed"));
}

TEST_F(Chain, TheFailureOfAPartDoesNotOutliveALaterStartThatStoppedBeforeThePart) {
  const std::string wrong =
      folder_.write("wrong.cfg", run_section("a") + "[quantize]\nepochs = 2\nlr-gain = 1e30\n" +
                                     tune_section() + eval_section());
  EXPECT_THAT(run("run --config " + wrong).error, HasSubstr("the loss of block"));
  const std::string work = folder_ / "a.work";
  const auto failure_after = [&](const auto& end) {
    RunControl control = quiet_control();
    control.host = "another host";
    ChainState state(files_, work, read_chain(files_, work).parts, control,
                     [](const std::string&) {});
    end(state);
    return read_chain_status(files_, work, control.claim_timing).failure;
  };
  EXPECT_THAT(failure_after([](ChainState& state) { state.fail("refused"); }),
              HasSubstr("the loss of block"))
      << "a refused start changes nothing";
  EXPECT_EQ(failure_after([](ChainState& state) {
              state.answer();
              state.stop("asked to");
            }),
            "");
  EXPECT_EQ(status(work).at("state"), "stopped");
}

TEST_F(Chain, FiguresOfAModelWithAnotherConfigAreNotUsedAgain) {
  const auto perplexity = [&](const std::string& output) {
    const std::string config =
        folder_.write(output + ".cfg", run_section(output) + quantize_section() + eval_section());
    const Ended done = run("run --json --config " + config + " --work-dir " + folder_ / "w");
    EXPECT_EQ(done.error, "");
    return nlohmann::json::parse(done.printed).at("perplexity_original").get<double>();
  };
  const double before = perplexity("a");
  auto config = nlohmann::json::parse(folder_.read("model/config.json"));
  config["rope_theta"] = 500.0;
  folder_.write("model/config.json", config.dump());
  EXPECT_NE(perplexity("b"), before);
}

// The parts before it would tell whether the folder is the chain's.
TEST_F(Chain, AFilledOutputFolderIsNotTakenForAResult) {
  folder_.write("a/notes.txt", "mine");
  EXPECT_THAT(run(words("a")).error, AllOf(HasSubstr("holds something"), HasSubstr("[tune]")));
}

TEST_F(Chain, TheFolderOfASingleJobIsNotTaken) {
  ASSERT_EQ(run("quantize --model " + folder_ / "model" + " --calib " + file("calib") +
                " --samples 4 --seq-len 16 --epochs 1 --output-dir " + folder_ / "single")
                .error,
            "");
  const Ended refused = run(words("a") + " --work-dir " + folder_ / "single.work");
  EXPECT_THAT(refused.error, HasSubstr("the run folder of a single job"));
}

// A config from before there were chains: one part, whose run folder is where bitmill quantize has
// it.
TEST_F(Chain, AConfigWithTheModelInQuantizeMeansWhatItMeant) {
  const std::string old = folder_.write(
      "old.cfg", "[quantize]\nmodel = " + folder_ / "model" + "\ncalib = " + file("calib") +
                     "\noutput-dir = " + folder_ / "old" +
                     "\nsamples = 4\nseq-len = 16\nepochs = 2\n[eval]\ncorpus = " + file("eval") +
                     "\nseq-len = 16\n");
  const Ended done = run("run --json --config " + old);
  ASSERT_EQ(done.error, "");
  const auto figures = nlohmann::json::parse(done.printed);
  EXPECT_EQ(figures.at("output_dir"), folder_ / "old");
  EXPECT_EQ(figures.at("blocks").size(), 2u);
  EXPECT_EQ(status(folder_ / "old.work").at("job"), "quantize");
  EXPECT_TRUE(status(folder_ / "old.work").at("chain").is_null());
  EXPECT_EQ(status(folder_ / "old.work-chain").at("state"), "done");
  const Ended alone = run("quantize --model " + folder_ / "model" + " --calib " + file("calib") +
                          " --samples 4 --seq-len 16 --epochs 2 --output-dir " + folder_ / "alone");
  ASSERT_EQ(alone.error, "");
  EXPECT_EQ(folder_.read("alone/model.safetensors"), folder_.read("old/model.safetensors"));
}

}  // namespace
}  // namespace bitmill
