// What is found before the long work: folders in harm's way, disks too small, runs unfinished.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "comm/self_communicator.hpp"
#include "data/token_text.hpp"
#include "format/packed_folder.hpp"
#include "model/tiny_model.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_forecast.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/pretended_files.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/tiny_job.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Preflight : public testing::Test {
 protected:
  Preflight() {
    write_model("model");
    Tokens tokens;
    for (int i = 0; i < 400; ++i) tokens.ids.push_back(i % 31);
    write_token_file(files_, folder_ / "calib.safetensors", tokens);
    options_.model = folder_ / "model";
    options_.output_dir = folder_ / "out";
    options_.work_dir = options_.scratch_dir = folder_ / "out.work";
    options_.calib = folder_ / "calib.safetensors";
    options_.samples = 11;
    options_.seq_len = 9;
    options_.epochs = 1;
  }

  void write_model(const std::string& name) {
    const auto config = test::tiny_config();
    test::write_model(files_, folder_ / name, config, test::tiny_tensors(config));
  }

  QuantizeForecast forecast(int ranks = 1) {
    return check_quantize(options_, files_, ranks, 1).forecast;
  }

  void run() {
    const auto comm = self_communicator();
    ThreadPool pool(1);
    QuantizeObserver silent;
    check_and_quantize(options_, files_, *comm, pool, silent, RunControl());
  }

  // What the user reads; empty when there is nothing to complain about.
  std::string complaint(int ranks = 1) {
    const auto before = files_.list(folder_.path());
    std::string text;
    try {
      forecast(ranks);
    } catch (const UsageError& error) {
      text = error.what();
    }
    EXPECT_EQ(files_.list(folder_.path()), before) << "the check changed something";
    return text;
  }

  const TempFolder folder_;
  PretendedFiles files_;
  QuantizeOptions options_;
};

TEST_F(Preflight, NothingIsSaidAboutAnOrdinaryRun) {
  EXPECT_EQ(complaint(), "");
  files_.make_directories(options_.output_dir);
  EXPECT_EQ(complaint(), "");
  options_.stream_memory = 100;
  options_.scratch_dir = folder_.path();
  EXPECT_EQ(complaint(), "");
}

TEST_F(Preflight, AModelWhereTheResultIsMadeIsRefusedAndKept) {
  write_model("out.partial");
  const std::string weights = folder_.read("out.partial/model.safetensors");
  options_.model = folder_ / "out.partial";
  EXPECT_THAT(complaint(), AllOf(HasSubstr("the result is made in"), HasSubstr("--model")));
  EXPECT_THROW(run(), UsageError);
  EXPECT_EQ(folder_.read("out.partial/model.safetensors"), weights);
}

TEST_F(Preflight, OtherFoldersWhereTheResultIsMadeAreRefused) {
  options_.work_dir = folder_ / "out.partial/work";
  EXPECT_THAT(complaint(), HasSubstr("--work-dir"));
  options_.work_dir = folder_ / "out.work";
  options_.scratch_dir = folder_ / "out.partial";
  EXPECT_THAT(complaint(), HasSubstr("--scratch-dir"));
  options_.scratch_dir = options_.work_dir;
  std::filesystem::create_directory(folder_ / "out.partial");
  std::filesystem::rename(options_.calib, folder_ / "out.partial/calib.safetensors");
  options_.calib = folder_ / "out.partial/calib.safetensors";
  EXPECT_THAT(complaint(), HasSubstr("--calib"));
}

TEST_F(Preflight, SomebodysFilesWhereTheResultIsMadeAreRefusedAndKept) {
  folder_.write("out.partial/thesis.tex", "mine");
  EXPECT_THAT(complaint(), HasSubstr("holds files that bitmill did not write"));
  EXPECT_EQ(folder_.read("out.partial/thesis.tex"), "mine");
}

TEST_F(Preflight, FoldersInOneAnotherAreSeenThroughLinks) {
  std::filesystem::create_directory_symlink(folder_ / "model", folder_ / "link");
  options_.output_dir = folder_ / "link/out";
  options_.scratch_dir = folder_ / "link/../link/out/tmp";
  EXPECT_THAT(complaint(), AllOf(HasSubstr("--output-dir " + options_.output_dir + " lies in"),
                                 HasSubstr("--scratch-dir " + options_.scratch_dir + " lies in")));
}

TEST_F(Preflight, AWorkFolderAroundTheOutputIsRefused) {
  options_.work_dir = options_.scratch_dir = folder_ / "work";
  options_.output_dir = folder_ / "work/out";
  EXPECT_THAT(complaint(), HasSubstr("lies in --work-dir"));
}

TEST_F(Preflight, ARunFolderOfTheFirstVersionIsRefusedAndKept) {
  folder_.write("out.work/run.json", "{}");
  for (const Resume resume : {Resume::automatic, Resume::required, Resume::never}) {
    options_.resume = resume;
    EXPECT_THAT(complaint(), HasSubstr("version 1"));
  }
  EXPECT_EQ(folder_.read("out.work/run.json"), "{}");
}

TEST_F(Preflight, ADiskThatIsTooSmallIsRefusedWithFigures) {
  const QuantizeForecast expected = forecast();
  files_.free = expected.disk_bytes;
  EXPECT_EQ(complaint(), "");
  files_.free = expected.disk_bytes - 1;
  EXPECT_THAT(complaint(), AllOf(HasSubstr(std::to_string(expected.disk_bytes) + " bytes"),
                                 HasSubstr(std::to_string(files_.free) + " free"),
                                 HasSubstr(files_.resolve(folder_.path()))));
}

TEST_F(Preflight, FoldersOnTwoDisksAreCheckedEachForItsOwn) {
  const QuantizeForecast expected = forecast();
  std::filesystem::create_directory(folder_ / "disk");
  files_.devices = {{files_.resolve(folder_ / "disk"), 2}};
  options_.work_dir = options_.scratch_dir = folder_ / "disk/work";
  const int64_t work_bytes = expected.disk_bytes - expected.packed_bytes;
  files_.free = std::max(expected.packed_bytes, work_bytes);
  EXPECT_EQ(complaint(), "");
  files_.free_on = {{2, work_bytes - 1}};
  EXPECT_THAT(complaint(), AllOf(HasSubstr("--work-dir"), Not(HasSubstr("--output-dir"))));
}

// Embeddings, head and norms are in the result alone.
TEST_F(Preflight, TheRunFolderHoldsThePackedLinearsOfEveryTurn) {
  options_.epochs = 4;
  options_.lag = 1;
  const QuantizeForecast expected = forecast();
  EXPECT_EQ(expected.disk_bytes,
            expected.packed_bytes + 4 * expected.turn_bytes + expected.state_bytes);
  const double bits = expected.bits_per_weight * static_cast<double>(expected.linear_weights);
  EXPECT_NEAR(static_cast<double>(expected.turn_bytes), bits / 8, 1);
  EXPECT_GT(expected.packed_bytes, expected.turn_bytes + 2 * 31 * 12 * 4) << "embedding and head";
}

TEST_F(Preflight, ScratchFilesOfAllRanksCountWhereTheyShareTheDiskAndOfOneElsewhere) {
  options_.batch = 4;
  options_.stream_memory = 100;
  const QuantizeForecast expected = forecast(4);
  files_.free = expected.disk_bytes - 1;
  EXPECT_THAT(complaint(4), HasSubstr("--scratch-dir"));
  std::filesystem::create_directory(folder_ / "local");
  files_.devices = {{files_.resolve(folder_ / "local"), 2}};
  options_.scratch_dir = folder_ / "local";
  files_.free_on = {{2, expected.stream_bytes - 100}};
  EXPECT_EQ(complaint(4), "");
  files_.free_on = {{2, expected.stream_bytes - 101}};
  EXPECT_THAT(complaint(4), HasSubstr("--scratch-dir"));
}

// Two blocks: with turns both have state, and one file is being replaced. Of a block 303 values in
// vectors, 104 input channels, 1,200 signs.
TEST_F(Preflight, LiveBlocksCountOnDiskWhateverIsLearned) {
  options_.epochs = 2;
  const QuantizeForecast scales = forecast();
  constexpr int64_t vectors = 3 * 4 * 303 + 4 * 104;
  EXPECT_EQ(scales.state_bytes, 2 * vectors);
  options_.method.learned.signs = true;
  const QuantizeForecast signs = forecast();
  EXPECT_GT(signs.peak_memory_bytes, scales.peak_memory_bytes);
  EXPECT_EQ(signs.state_bytes, 2 * (vectors + 3 * 4 * 1200));
  EXPECT_EQ(signs.disk_bytes - scales.disk_bytes, signs.state_bytes - scales.state_bytes);
  options_.half_latents = true;
  EXPECT_EQ(forecast().state_bytes, 2 * (vectors + 3 * 2 * 1200));
  options_.half_latents = false;
  options_.lag = 1;
  EXPECT_EQ(2 * forecast().state_bytes, 3 * signs.state_bytes);
}

// Codes, row means and signs of a byte each: 384, 112 and 1,200 of them; 68 mean squares.
TEST_F(Preflight, WhatCoordinateDescentFixedCountsOnDisk) {
  const QuantizeForecast plain = forecast();
  options_.method.init = Init::descent;
  EXPECT_EQ(forecast().state_bytes - plain.state_bytes, 2 * (384 + 4 * 112 + 1200 + 4 * 68));
}

TEST_F(Preflight, BlocksThatStayAsTheyAreHaveNoState) {
  options_.epochs = 2;
  options_.lag = 1;
  const int64_t both = forecast().state_bytes;
  options_.max_blocks = 1;
  EXPECT_EQ(3 * forecast().state_bytes, 2 * both);
}

TEST_F(Preflight, MemoryAboveTheLimitIsRefusedForAnyWalk) {
  options_.epochs = 4;
  options_.lag = 1;
  options_.walk = Walk::sweep;
  options_.save_beside = false;
  const int64_t needed = forecast().peak_memory_bytes;
  options_.memory_limit = needed;
  EXPECT_EQ(complaint(), "");
  options_.walk = Walk::wavefront;
  EXPECT_THAT(complaint(), AllOf(HasSubstr("--memory-limit"), HasSubstr("--walk sweep"),
                                 HasSubstr(std::to_string(needed))));
  options_.walk = Walk::sweep;
  options_.memory_limit = needed - 1;
  EXPECT_THAT(complaint(), HasSubstr("a rank of stage 0 needs " + std::to_string(needed)));
  options_.stream_memory = 100;
  EXPECT_EQ(complaint(), "");
}

TEST_F(Preflight, WhereACopyOfTheStateDoesNotFitTrainingWaitsForTheWriting) {
  options_.method.learned.signs = true;
  const QuantizeForecast free = forecast();
  EXPECT_TRUE(free.save_beside);
  options_.memory_limit = free.peak_memory_bytes;
  EXPECT_TRUE(forecast().save_beside);
  options_.memory_limit = free.peak_memory_bytes - 1;
  const QuantizeForecast tight = forecast();
  EXPECT_FALSE(tight.save_beside);
  // Two blocks of the same size: the file of one, and its packed tensors.
  EXPECT_EQ(free.peak_memory_bytes - tight.peak_memory_bytes,
            tight.state_bytes / 2 + tight.turn_bytes / 2);
  options_.memory_limit = 0;
  options_.save_beside = false;
  EXPECT_FALSE(forecast().save_beside);
}

TEST_F(Preflight, ReplicasAreThoseThatWereChosenOrAllThatThereAre) {
  options_.batch = 8;
  EXPECT_EQ(forecast(6).mesh, (Mesh{1, 6}));
  options_.replicas = 4;
  EXPECT_EQ(forecast(6).mesh, (Mesh{1, 4}));
  options_.stages = 3;
  EXPECT_THAT(complaint(6), HasSubstr("allow at most 2"));
}

TEST_F(Preflight, EveryProblemIsNamedOnALineOfItsOwn) {
  folder_.write("out.work/thesis.tex", "mine");
  files_.read_only = files_.resolve(folder_.path());
  files_.free = 10;
  const std::string text = complaint();
  EXPECT_THAT(text, AllOf(HasSubstr("thesis.tex"), HasSubstr("nothing can be written"),
                          HasSubstr("10 free")));
  EXPECT_EQ(std::ranges::count(text, '\n'), 4) << "a line for all of it, a group, three problems";
}

TEST_F(Preflight, AFileOnTheWayToAFolderIsNamed) {
  folder_.write("file", "");
  options_.output_dir = folder_ / "file/out";
  EXPECT_THAT(complaint(), HasSubstr("file is a file and no folder"));
}

// Calibration and weights would take long to read.
TEST_F(Preflight, AFolderThatCannotBeMadeIsSaidThoughNothingElseCanBeRead) {
  std::filesystem::create_symlink(folder_ / "gone", folder_ / "link");
  options_.output_dir = folder_ / "link";
  options_.work_dir = options_.scratch_dir = folder_ / "work";
  EXPECT_THAT(complaint(), HasSubstr("link is a link to something that does not exist"));
  options_.output_dir = folder_ / "out";
  options_.work_dir = options_.scratch_dir = folder_ / "link/work";
  EXPECT_THAT(complaint(), AllOf(HasSubstr("--work-dir"), HasSubstr("is a link to")));
}

TEST_F(Preflight, ASelectionThatHitsNothingIsRefused) {
  options_.ignore = "down_porj";
  EXPECT_THAT(complaint(), HasSubstr("names none of the 14 linears"));
  options_.ignore = "";
  options_.redo_blocks = {2};
  EXPECT_THAT(complaint(), HasSubstr("the blocks that are packed are 0 to 1"));
}

TEST_F(Preflight, WhatTheUserShouldHearIsInTheForecast) {
  const std::string copies = "only 9 of 11 windows are distinct";  // the text repeats 31 tokens
  EXPECT_THAT(forecast().notes, testing::ElementsAre(HasSubstr(copies)));
  options_.ignore = "down_proj";
  EXPECT_THAT(forecast().notes,
              testing::ElementsAre(HasSubstr(copies), HasSubstr("keeps 2 of 14 linears")));
}

TEST_F(Preflight, AMountPointCannotBeTheOutputFolder) {
  files_.make_directories(options_.output_dir);
  files_.devices = {{files_.resolve(options_.output_dir), 2}};
  EXPECT_THAT(complaint(), HasSubstr("is a mount point"));
  options_.output_dir += "/result";
  EXPECT_EQ(complaint(), "");
}

TEST_F(Preflight, AFinishedResultNeedsNeitherRoomNorWritingNorAFreeWorkFolder) {
  run();
  folder_.write("out.work/thesis.tex", "mine");
  files_.free = 0;
  files_.read_only = files_.resolve(folder_.path());
  EXPECT_EQ(complaint(), "");
  EXPECT_NO_THROW(run());
}

TEST_F(Preflight, AnEmptyOutputFolderOfTheUsersIsFilled) {
  files_.make_directories(options_.output_dir);
  run();
  EXPECT_NO_THROW(verify_packed_folder(files_, options_.output_dir, {}));
  EXPECT_FALSE(files_.exists(options_.output_dir + ".partial"));
}

}  // namespace
}  // namespace bitmill
