#include "checkpoint/run_dir.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "checkpoint/failing_files.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/run_dir_fixture.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(RunDirTest, StartsWithoutACommitAreCounted) {
  for (int start = 1; start <= 3; ++start) {
    const auto mine = claim();
    mine->record_start(40);
    EXPECT_EQ(mine->starts_without_commit(), start);
  }
  const auto later = claim();
  later->record_start(41);
  EXPECT_EQ(later->starts_without_commit(), 1);
}

TEST_F(RunDirTest, WhatIsWrittenIsRead) {
  const auto mine = claim();
  RunDir run(*files_, *mine);
  run.begin(record_);
  const std::vector<float> values = {1.5F, -2};
  const auto produce = [&](const ByteSink& sink) { sink(std::as_bytes(std::span(values))); };
  run.write_live({3, 2, 17}, {{"learned", Dtype::float32, {2}, produce}});
  run.write_packed(2, 1, false, {text_tensor("a", "packed")});
  EXPECT_EQ(run.state().live_progress(3), (Progress{3, 2, 17}));
  const SavedBlock live = run.state().open_live(3);
  EXPECT_EQ(live.progress, (Progress{3, 2, 17}));
  std::vector<float> read(2);
  live.tensors.read(live.tensors.info("learned"), std::as_writable_bytes(std::span(read)));
  EXPECT_EQ(read, values);
  EXPECT_EQ(run.state().open_packed(2, 1).tensors().size(), 1U);
  EXPECT_EQ(run.state().record().fingerprint_json, R"({"lag":5})");
  EXPECT_EQ(inspect_work_dir(*files_, path_), Occupancy::unfinished);
  run.finish();
  EXPECT_EQ(inspect_work_dir(*files_, path_), Occupancy::finished);
}

TEST_F(RunDirTest, BytesOfLiveFilesAreCounted) {
  const auto mine = claim();
  RunDir run(*files_, *mine);
  run.begin(record_);
  run.write_live({3, 1, 4}, {text_tensor("a", "four"), text_tensor("b", "sixsix")});
  run.write_live({3, 2, 8}, {text_tensor("a", "four")});
  run.write_packed(2, 1, false, {text_tensor("a", "packed and longer")});
  EXPECT_EQ(run.live_bytes().largest, 10);
  EXPECT_EQ(run.live_bytes().written, 14);
}

TEST_F(RunDirTest, FlippedBitAnywhereIsFound) {
  const auto mine = claim();
  RunDir run(*files_, *mine);
  run.begin(record_);
  run.write_packed(0, 0, false, {text_tensor("a", "packed")});
  const std::string name = "work/state-0001/blocks/0000.0.safetensors";
  const std::string good = folder_.read(name);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    folder_.write(name, bad);
    EXPECT_THROW(run.state().open_packed(0, 0), Error) << "byte " << i;
  }
}

TEST_F(RunDirTest, BlockBuiltAgainMustEqualTheOneSetAside) {
  const auto mine = claim();
  RunDir run(*files_, *mine);
  run.begin(record_);
  run.write_packed(0, 0, false, {text_tensor("a", "packed")});
  run.set_aside(0, 1);
  EXPECT_FALSE(run.state().has_packed(0, 0));
  EXPECT_THAT([&] { run.write_packed(0, 0, false, {text_tensor("a", "other.")}); },
              throws<Error>("another content"));
  EXPECT_FALSE(run.state().has_packed(0, 0));
  run.write_packed(0, 0, false, {text_tensor("a", "packed")});
  EXPECT_TRUE(run.state().has_packed(0, 0));
  EXPECT_FALSE(run.state().has_set_aside(0, 0));
}

TEST_F(RunDirTest, FailedRunThatCommittedNothingLeavesRoomForACorrectedOne) {
  const auto mine = claim();
  RunDir run(*files_, *mine);
  run.begin(record_);
  run.abandon("no memory");
  EXPECT_EQ(inspect_work_dir(*files_, path_), Occupancy::nothing);
  EXPECT_EQ(read_failure(run.state()).error, "no memory");
  EXPECT_EQ(read_failure(run.state()).fingerprint_json, R"({"lag":5})");
}

TEST_F(RunDirTest, FolderOfTheFirstVersionAndForeignFilesAreRefusedByName) {
  folder_.write("work/run.json", "{}");
  EXPECT_THAT([&] { inspect_work_dir(*files_, path_); }, throws<UsageError>("version 1"));
  files_->remove(path_ + "/run.json");
  folder_.write("work/thesis.tex", "mine");
  EXPECT_THAT([&] { inspect_work_dir(*files_, path_); }, throws<UsageError>("thesis.tex"));
  EXPECT_EQ(text("thesis.tex"), "mine");
}

TEST_F(RunDirTest, FolderOfAnotherVersionIsRefusedByNumber) {
  const auto mine = claim();
  RunDir run(*files_, *mine);
  run.begin(record_);
  const std::string path = mine->state_path() + "/run.json";
  nlohmann::json content = read_hashed_json(*files_, path);
  content["run_dir_version"] = run_dir_version - 1;
  write_hashed_json(*files_, path, path + ".new", content);
  EXPECT_THAT([&] { run.state().record(); },
              throws<FormatError>(fmt::format("version {}", run_dir_version - 1)));
}

TEST_F(RunDirTest, SourceIsKeptOnceAndOtherWeightsAreNamedWithBothHashes) {
  const auto mine = claim();
  RunDir run(*files_, *mine);
  run.begin(record_);
  run.keep_source(3, {{"a", "11"}, {"b", "22"}});
  run.keep_source(3, {{"a", "11"}, {"b", "22"}});
  EXPECT_THAT(
      [&] {
        run.keep_source(3, {{"a", "11"}, {"b", "23"}});
      },
      Throws<UsageError>(Property(&UsageError::what,
                                  AllOf(HasSubstr("\"b\""), HasSubstr("22"), HasSubstr("23")))));
  EXPECT_EQ(run.state().source(3), (TensorHashes{{"a", "11"}, {"b", "22"}}));
}

TEST_F(RunDirTest, RehearsalLeavesNothingAndFailsWhereASaveWould) {
  const auto mine = claim();
  RunDir run(*files_, *mine);
  run.begin(record_);
  EXPECT_GT(run.rehearse_save(1000), 0);
  EXPECT_THAT(files_->list(mine->state_path() + "/live"), IsEmpty());
  FailingFiles full(0);
  RunDir failing(full, *mine);
  EXPECT_THROW(failing.rehearse_save(1000), FileError);
}

}  // namespace
}  // namespace bitmill
