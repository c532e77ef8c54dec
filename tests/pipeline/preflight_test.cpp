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
#include "pipeline/pretended_files.hpp"
#include "pipeline/quantize.hpp"
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

  QuantizePlan plan(int ranks = 1) { return plan_quantize(options_, files_, ranks, 1); }

  void run() {
    const auto comm = self_communicator();
    ThreadPool pool(1);
    QuantizeObserver silent;
    quantize(options_, files_, *comm, pool, silent, RunControl());
  }

  // What the user reads; empty when there is nothing to complain about.
  std::string complaint(int ranks = 1) {
    const auto before = files_.list(folder_.path());
    std::string text;
    try {
      plan(ranks);
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
  EXPECT_THAT(complaint(), HasSubstr("holds what bitmill did not leave there"));
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
  const QuantizePlan planned = plan();
  files_.free = planned.disk_bytes;
  EXPECT_EQ(complaint(), "");
  files_.free = planned.disk_bytes - 1;
  EXPECT_THAT(complaint(), AllOf(HasSubstr(std::to_string(planned.disk_bytes) + " bytes"),
                                 HasSubstr(std::to_string(files_.free) + " free"),
                                 HasSubstr(files_.resolve(folder_.path()))));
}

TEST_F(Preflight, FoldersOnTwoDisksAreCheckedEachForItsOwn) {
  const QuantizePlan planned = plan();
  std::filesystem::create_directory(folder_ / "disk");
  files_.devices = {{files_.resolve(folder_ / "disk"), 2}};
  options_.work_dir = options_.scratch_dir = folder_ / "disk/work";
  files_.free = planned.packed_bytes;
  EXPECT_EQ(complaint(), "");
  files_.free_on = {{2, planned.packed_bytes - 1}};
  EXPECT_THAT(complaint(), AllOf(HasSubstr("--work-dir"), Not(HasSubstr("--output-dir"))));
}

TEST_F(Preflight, ScratchFilesOfAllRanksCountWhereTheyShareTheDiskAndOfOneElsewhere) {
  options_.batch = 4;
  options_.stream_memory = 100;
  const QuantizePlan planned = plan(4);
  files_.free = planned.disk_bytes - 1;
  EXPECT_THAT(complaint(4), HasSubstr("--scratch-dir"));
  std::filesystem::create_directory(folder_ / "local");
  files_.devices = {{files_.resolve(folder_ / "local"), 2}};
  options_.scratch_dir = folder_ / "local";
  files_.free_on = {{2, planned.stream_bytes - 100}};
  EXPECT_EQ(complaint(4), "");
  files_.free_on = {{2, planned.stream_bytes - 101}};
  EXPECT_THAT(complaint(4), HasSubstr("--scratch-dir"));
}

// Two blocks: with turns both have state, and one file is being replaced.
TEST_F(Preflight, LearnedSignsCountInMemoryAndOnDisk) {
  options_.epochs = 2;
  const QuantizePlan scales = plan();
  EXPECT_EQ(scales.state_bytes, 0);
  options_.method.learned.signs = true;
  const QuantizePlan signs = plan();
  EXPECT_GT(signs.peak_memory_bytes, scales.peak_memory_bytes);
  EXPECT_EQ(signs.disk_bytes, scales.disk_bytes + signs.state_bytes);
  options_.half_latents = true;
  EXPECT_EQ(2 * plan().state_bytes, signs.state_bytes);
  options_.half_latents = false;
  options_.lag = 1;
  EXPECT_EQ(2 * plan().state_bytes, 3 * signs.state_bytes);
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
