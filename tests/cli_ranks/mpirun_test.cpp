// The program under a real mpirun: mistakes are said once, and no rank is left waiting.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "program_run.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

const std::string books = BITMILL_SOURCE_DIR "/tests/data/books-2M";
const std::string texts = BITMILL_SOURCE_DIR "/tests/data/books";

int occurrences(const std::string& text, const std::string& word) {
  int count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

class Ranks : public ::testing::Test {
 protected:
  // Containers run as root, and machines have fewer processors than the test wants ranks.
  // `around`: a program that runs mpirun.
  ProgramRun run(int ranks, const std::string& words, const std::string& around = "") const {
    return run_program_in(folder_,
                          "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
                          "OMPI_MCA_rmaps_base_oversubscribe=1 "
                          "OMPI_MCA_hwloc_base_binding_policy=none "
                          "OMPI_MCA_mpi_yield_when_idle=1 "
                          "OMPI_MCA_btl_vader_single_copy_mechanism=none " +
                              around + BITMILL_MPIRUN " -n " + std::to_string(ranks),
                          words);
  }
  std::string quantize_words(const std::string& result) const {
    return "quantize --model " + books + " --calib " + texts + "/calib.txt --output-dir " +
           folder_ / result + " --samples 4 --seq-len 32 --epochs 2 --max-blocks 1 ";
  }

  TempFolder folder_;
};

// What these launchers set, without them: MPI finds nobody else.
TEST_F(Ranks, ALauncherOfAnotherMpiIsRefusedByName) {
  const std::string words = "eval --model " + books + " --corpus " + texts + "/calib.txt";
  const ProgramRun hydra =
      run_program_in(folder_, "HYDI_CONTROL_FD=7 PMI_RANK=0 PMI_SIZE=2", words);
  EXPECT_EQ(hydra.exit_code, 2) << hydra.err;
  EXPECT_THAT(hydra.err, HasSubstr("Hydra (mpirun or mpiexec of MPICH or Intel MPI) started this "
                                   "process as rank 0 of 2"));
  const ProgramRun prte = run_program_in(folder_, "PRTE_LAUNCHED=1 PMIX_RANK=0", words);
  EXPECT_EQ(prte.exit_code, 2) << prte.err;
  EXPECT_THAT(prte.err, HasSubstr("the mpirun of Open MPI 5"));
}

TEST_F(Ranks, HelpIsPrintedOnce) {
  const ProgramRun result = run(3, "help");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(occurrences(result.out, "usage: bitmill"), 1);
}

TEST_F(Ranks, AWrongOptionIsReportedOnceAndEndsAllRanksWithTwo) {
  const ProgramRun result = run(3, quantize_words("r") + "--batch 0");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(occurrences(result.err, "bitmill: error:"), 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("bitmill: error: --batch: expected"));  // no rank is named
  EXPECT_EQ(result.out, "");
}

TEST_F(Ranks, AFailureInTheMiddleOfTheWorkIsReportedOnceWithItsRank) {
  // Of a batch of one the first rank has the sample; the others idle.
  const ProgramRun result = run(3, quantize_words("r") + "--lr-scale 1e30 --lr-gain 1e30");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(occurrences(result.err, "bitmill: error:"), 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("rank 0"));
  EXPECT_THAT(result.err, HasSubstr("the loss of block 0"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "r"));
}

TEST_F(Ranks, IdleRanksAreMentionedOnceAndTheBytesAreThoseOfOneRank) {
  const ProgramRun two = run(2, quantize_words("two") + "--json");
  ASSERT_EQ(two.exit_code, 0) << two.err;
  EXPECT_EQ(occurrences(two.err, "1 of 2 ranks will idle"), 1) << two.err;
  EXPECT_EQ(nlohmann::json::parse(two.out).at("ranks"), 2);
  const ProgramRun one = run(1, quantize_words("one"));
  ASSERT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(folder_.read("one/model.safetensors"), folder_.read("two/model.safetensors"));
}

TEST_F(Ranks, InspectAndEvalSpeakOnce) {
  const ProgramRun counts = run(2, "inspect --json " + books);
  EXPECT_EQ(counts.exit_code, 0) << counts.err;
  EXPECT_GT(nlohmann::json::parse(counts.out).at("file_bytes"), 0);
  const ProgramRun figures = run(2, "eval --json --max-windows 3 --seq-len 32 --model " + books +
                                        " --corpus " + texts + "/eval.txt");
  EXPECT_EQ(figures.exit_code, 0) << figures.err;
  EXPECT_EQ(nlohmann::json::parse(figures.out).at("windows"), 3);
}

TEST_F(Ranks, ScoresOfTasksAreThoseOfOneRankAndAreSaidOnce) {
  const std::string tasks = BITMILL_SOURCE_DIR "/tests/golden/tasks/";
  const std::string words = "eval --json --max-items 7 --model " + books + " --tasks " + tasks +
                            "choices.jsonl," + tasks + "continuation.jsonl";
  const ProgramRun one = run(1, words), three = run(3, words);
  ASSERT_EQ(three.exit_code, 0) << three.err;
  EXPECT_EQ(nlohmann::json::parse(three.out).at("tasks").size(), 2u);
  EXPECT_EQ(three.out, one.out);
}

TEST_F(Ranks, WhatDecodesRunsInOneProcessAndSaysSoOnce) {
  for (const char* words : {"generate --prompt x --model ", "bench --model "}) {
    const ProgramRun result = run(2, words + books);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(occurrences(result.err, "runs in one process, and 2 ranks were started"), 1);
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(Ranks, LearnedSignsGiveTheBytesOfOneRank) {
  for (int ranks = 1; ranks <= 3; ++ranks) {
    const std::string name = std::to_string(ranks);
    const ProgramRun result =
        run(ranks, quantize_words(name) +
                       "--batch 3 --lag 1 --learn-signs --sign-state 16 --int4-range salient "
                       "--int4-clip --center --init cd --threads " +
                       std::to_string(1 + ranks % 2));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(folder_.read(name + "/model.safetensors") == folder_.read("1/model.safetensors"))
        << ranks << " ranks";
  }
}

TEST_F(Ranks, AMeshThatDoesNotFitTheRanksIsRefused) {
  const ProgramRun result = run(2, quantize_words("r") + "--stages 3");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(occurrences(result.err, "--stages 3"), 1) << result.err;
}

TEST_F(Ranks, TuningGivesTheBytesOfOneRank) {
  ASSERT_EQ(run(1, "quantize --model " + books + " --calib " + texts +
                       "/calib.txt --samples 4 --seq-len 32 --epochs 1 --output-dir " +
                       folder_ / "packed")
                .exit_code,
            0);
  const auto words = [&](const std::string& name, const std::string& more) {
    return "tune --model " + folder_ / "packed" + " --reference " + books + " --calib " + texts +
           "/calib.txt --samples 9 --seq-len 32 --epochs 2 --json --output-dir " + folder_ / name +
           " " + more;
  };
  const ProgramRun one = run(1, words("one", ""));
  ASSERT_EQ(one.exit_code, 0) << one.err;
  const auto expected = nlohmann::json::parse(one.out);
  EXPECT_LT(expected.at("kl_after"), expected.at("kl_before"));
  struct Case {
    int ranks;
    std::string name, more;
  };
  for (const Case& many :
       {Case{3, "1x3", "--threads 2"}, Case{2, "2x1", "--stages 2"},
        Case{4, "2x2", "--stages 2 --stream-memory 100000"}, Case{4, "4x1", "--stages 4"}}) {
    const ProgramRun result = run(many.ranks, words(many.name, many.more));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(nlohmann::json::parse(result.out).at("held_out_kl"), expected.at("held_out_kl"));
    EXPECT_TRUE(folder_.read(many.name + "/model.safetensors") ==
                folder_.read("one/model.safetensors"))
        << many.name;
  }
}

// Of lag E, E/2 and 1 of four epochs.
class Stages : public Ranks, public ::testing::WithParamInterface<int> {
 protected:
  struct Shape {
    int stages, replicas;
    std::string more;
  };

  // Two meshes at every lag, and one that differs, so that each is seen without three times the
  // starts. With no more turns than stages a sweep is as wide as a wavefront: the same plan.
  static std::vector<Shape> shapes(int lag) {
    std::vector<Shape> all;
    const int turns = 4 / lag;
    for (const Shape& mesh : {Shape{2, 1, ""}, Shape{2, 2, "--stream-memory 20000 "},
                              lag == 4   ? Shape{4, 1, ""}
                              : lag == 2 ? Shape{1, 2, ""}
                                         : Shape{3, 1, ""}}) {
      all.push_back(mesh);
      all.back().more += "--walk wavefront";
      if (turns <= mesh.stages) continue;
      all.push_back(mesh);
      all.back().more += "--walk sweep";
    }
    return all;
  }
};

TEST_P(Stages, GiveTheBytesOfOneRank) {
  const auto words = [&](const std::string& name, int stages, const std::string& more) {
    return "quantize --model " + books + " --calib " + texts + "/calib.txt --samples 5 " +
           "--seq-len 32 --epochs 4 --lag " + std::to_string(GetParam()) +
           " --batch 2 --max-blocks 3 --threads 1 --output-dir " + folder_ / name + " --stages " +
           std::to_string(stages) + " " + more;
  };
  const ProgramRun one = run(1, words("one", 1, ""));
  ASSERT_EQ(one.exit_code, 0) << one.err;
  int number = 0;
  for (const Shape& mesh : shapes(GetParam())) {
    const std::string name = std::to_string(number++);
    const ProgramRun result = run(mesh.stages * mesh.replicas, words(name, mesh.stages, mesh.more));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(folder_.read(name + "/model.safetensors") == folder_.read("one/model.safetensors"))
        << mesh.stages << " x " << mesh.replicas << " " << mesh.more;
  }
}

INSTANTIATE_TEST_SUITE_P(Mpirun, Stages, ::testing::Values(4, 2, 1));

// How fast the machine is decides when something is packed. So every round begins anew: later where
// the stop came too early for streams, with more epochs where the run had ended before.
TEST_F(Ranks, StreamsThatAStopKeepsServeAnotherMesh) {
  int epochs = 40, seconds = 2;
  const auto words = [&](const std::string& name, int stages) {
    return "quantize --model " + books + " --calib " + texts + "/calib.txt --samples 8 --seq-len " +
           "64 --epochs " + std::to_string(epochs) + " --lag 10 --batch 2 --threads 1 " +
           "--output-dir " + folder_ / name + " --stages " + std::to_string(stages);
  };
  constexpr int killed_by_signal = 138;  // it came before the program could take it as a wish
  ProgramRun stopped;
  std::string name;
  for (int round = 0; stopped.err.find("keeping the streams of block") == std::string::npos;
       ++round) {
    ASSERT_LT(round, 20) << stopped.err;
    name = "round" + std::to_string(round);
    stopped = run(4, words(name, 4),
                  "timeout --preserve-status --signal USR1 " + std::to_string(seconds) + " ");
    ASSERT_THAT(stopped.exit_code, AnyOf(0, 75, killed_by_signal)) << stopped.err;
    if (stopped.exit_code == 0) {
      epochs *= 2;
    } else {
      ++seconds;
    }
  }
  const ProgramRun resumed = run(4, words(name, 2));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("were kept and are read")) << stopped.err;
  const ProgramRun whole = run(2, words("whole", 2));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_TRUE(folder_.read(name + "/model.safetensors") == folder_.read("whole/model.safetensors"));
}

// Eleven samples: the last batch of three, and of eight, is not full.
class Batch : public Ranks, public ::testing::WithParamInterface<int> {};

TEST_P(Batch, BytesAreTheSameForOneToFiveRanksAndAnyThreads) {
  const auto words = [&](int ranks) {
    return "quantize --model " + books + " --calib " + texts + "/calib.txt --samples 11 " +
           "--seq-len 32 --epochs 2 --lag 1 --max-blocks 2 --batch " + std::to_string(GetParam()) +
           " --output-dir " + folder_ / std::to_string(ranks) + " --threads " +
           std::to_string(1 + ranks % 3);
  };
  for (int ranks = 1; ranks <= 5; ++ranks) {
    const ProgramRun result = run(ranks, words(ranks));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(folder_.read(std::to_string(ranks) + "/model.safetensors") ==
                folder_.read("1/model.safetensors"))
        << ranks << " ranks";
  }
}

INSTANTIATE_TEST_SUITE_P(Mpirun, Batch, ::testing::Values(1, 3, 8));

}  // namespace
}  // namespace bitmill
