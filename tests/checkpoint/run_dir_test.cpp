#include "checkpoint/run_dir.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.hpp"
#include "checkpoint/failing_files.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/heartbeat.hpp"
#include "forwarding_files.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Property;
using testing::Throws;

template <class E>
auto throws(const std::string& part) {
  return Throws<E>(Property(&E::what, HasSubstr(part)));
}

TensorSource tensor_of(const std::string& name, const std::string& text) {
  return {name, Dtype::uint8, {std::ssize(text)}, [text](const ByteSink& sink) {
            sink(std::as_bytes(std::span(text)));
          }};
}

class RunDirTest : public testing::Test {
 protected:
  std::unique_ptr<Claim> claim(std::chrono::milliseconds stale_after = 0ms) {
    return Claim::take(*files_, path_, this_process("n1", "88"), {stale_after, 5ms},
                       [&](const std::string& text) { said_.push_back(text); });
  }
  std::string text(const std::string& name) const { return folder_.read("work/" + name); }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  const std::string path_ = folder_ / "work";
  const RunRecord record_{R"({"lag":5})", {"cpu"}};
  std::vector<std::string> said_;
};

TEST_F(RunDirTest, LivingHolderIsNamedAndItsRunLeftAlone) {
  const auto first = claim();
  const Heartbeat heart(*first, 5ms);
  EXPECT_THAT([&] { claim(10s); }, throws<UsageError>("n1, job 88"));
  EXPECT_THAT(said_, testing::Not(IsEmpty()));
  EXPECT_NO_THROW(first->check());
}

// A run that hangs keeps its folder, and must not look as if it worked.
TEST_F(RunDirTest, AHeartbeatIsNoSignOfWork) {
  const auto first = claim();
  const uint64_t before = file_transfers();
  {
    const Heartbeat heart(*first, 1ms);
    std::this_thread::sleep_for(100ms);
  }
  EXPECT_EQ(file_transfers(), before);
  EXPECT_NE(text("state-0001/beat"), "0\n");
}

// As if a taker that had seen an empty folder came late.
TEST_F(RunDirTest, OnlyTheNewestStateFolderCounts) {
  const auto first = claim();
  std::filesystem::create_directory(folder_ / "work/state-0002");
  EXPECT_THAT([&] { first->check(); }, throws<ClaimError>("has lost its folder"));
}

TEST_F(RunDirTest, ALateLineIsNotWritten) {
  const auto first = claim();
  RunDir dir(*files_, *first);
  const auto second = claim();
  EXPECT_THROW(dir.events().append("{}"), ClaimError);
  EXPECT_FALSE(files_->exists(folder_ / "work/blocks.jsonl"));
}

// The claim that dies before it has said how far the run is.
TEST_F(RunDirTest, AStartThatDiesEarlyCountsToo) {
  claim()->record_start(7);
  claim();
  const auto third = claim();
  third->record_start(7);
  EXPECT_EQ(third->starts_without_commit(), 3);
}

TEST_F(RunDirTest, SilentHolderIsReplacedAndFindsOutBeforeItWrites) {
  const auto first = claim();
  RunDir slow(*files_, *first);
  slow.begin(record_);
  const auto second = claim(20ms);
  EXPECT_EQ(second->generation(), 2);
  EXPECT_THAT([&] { slow.write_packed(0, 0, true, {tensor_of("a", "late")}); },
              throws<ClaimError>("lost its folder"));
  first->beat();
  EXPECT_NO_THROW(second->check());
  EXPECT_FALSE(RunState(*files_, second->state_path()).has_packed(0, 0));
}

// Stands still once, when the counter is read for the second time. Its holder beats right after
// that.
class StandingFiles : public ForwardingFiles {
 public:
  explicit StandingFiles(Claim& holder) : holder_(holder) {}
  std::unique_ptr<InputFile> open(const std::string& path) override {
    if (!path.ends_with("/beat")) return ForwardingFiles::open(path);
    ++reads_;
    if (reads_ == 2) std::this_thread::sleep_for(300ms);
    if (reads_ == 3) holder_.beat();
    return ForwardingFiles::open(path);
  }

 private:
  Claim& holder_;
  int reads_ = 0;
};

TEST_F(RunDirTest, AFolderThatStandsStillDoesNotMakeItsHolderSilent) {
  const auto first = claim();
  first->beat();
  StandingFiles files(*first);
  EXPECT_TRUE(is_alive(files, first->state_path(), {200ms, 5ms, 10ms}));
}

// As on a host that still knows the folder by its old name: its rename works, and changes nothing.
class OldNameFiles : public ForwardingFiles {
 public:
  explicit OldNameFiles(std::function<void()> before_rename)
      : before_rename_(std::move(before_rename)) {}
  void rename(const std::string& from, const std::string& to) override {
    if (to.ends_with("/state-0002")) return before_rename_();
    ForwardingFiles::rename(from, to);
  }

 private:
  std::function<void()> before_rename_;
};

TEST_F(RunDirTest, ARenameThatAnotherHostHasDoneTakesNothing) {
  claim();
  std::unique_ptr<Claim> winner;
  OldNameFiles files([&] { winner = claim(); });
  EXPECT_THAT(
      [&] {
        Claim::take(files, path_, this_process("n2", ""), {0ms, 5ms}, [](auto&) {});
      },
      throws<UsageError>("is held by another run"));
  EXPECT_NO_THROW(winner->check());
}

TEST_F(RunDirTest, EveryTakerLeavesOneMark) {
  for (int start = 0; start < 4; ++start) claim();
  EXPECT_TRUE(files_->is_directory(folder_ / "work/state-0004/taken-4"));
  EXPECT_FALSE(files_->exists(folder_ / "work/state-0004/taken-3"));
}

TEST_F(RunDirTest, ReleasedClaimIsTakenAtOnce) {
  claim()->release("stopped");
  const auto second = claim(1h);
  EXPECT_THAT(said_, IsEmpty());
  ASSERT_TRUE(second->predecessor());
  EXPECT_EQ(second->predecessor()->outcome, "stopped");
}

TEST_F(RunDirTest, OfManyTakersOneWins) {
  claim();
  std::atomic<int> won = 0;
  std::vector<std::jthread> takers;
  std::mutex mutex;
  std::vector<std::unique_ptr<Claim>> claims;
  // The winner lives: a taker that a busy machine makes late must not take it for dead.
  std::vector<std::unique_ptr<Heartbeat>> hearts;
  for (int i = 0; i < 8; ++i) {
    takers.emplace_back([&] {
      try {
        auto mine = Claim::take(*files_, path_, this_process("n1", ""), {500ms, 5ms}, [](auto&) {});
        const std::lock_guard lock(mutex);
        hearts.push_back(std::make_unique<Heartbeat>(*mine, 5ms));
        claims.push_back(std::move(mine));
        ++won;
      } catch (const UsageError&) {
      }
    });
  }
  takers.clear();
  EXPECT_EQ(won, 1);
  hearts.clear();
}

// Another first claim, which comes between this one's look and its rename, and is even replaced by
// then; it may have removed what it found half made, too.
class OvertakenFiles final : public ForwardingFiles {
 public:
  OvertakenFiles(std::string winner, bool removes)
      : winner_(std::move(winner)), removes_(removes) {}
  void rename(const std::string& from, const std::string& to) override {
    if (to.ends_with("/state-0001")) {
      make_directories(winner_);
      if (removes_) remove_tree(from);
    }
    ForwardingFiles::rename(from, to);
  }

 private:
  const std::string winner_;
  const bool removes_;
};

TEST_F(RunDirTest, AFirstClaimThatIsOvertakenIsRefusedLikeAnyOther) {
  for (const bool removes : {true, false}) {
    OvertakenFiles files(folder_ / "work/state-0002", removes);
    EXPECT_THAT([&] { Claim::take(files, path_, this_process("n1", ""), {}, [](const auto&) {}); },
                throws<UsageError>("is held by another run"));
    EXPECT_THAT(files_->list(path_), testing::ElementsAre("state-0002"));
    files_->remove_tree(path_);
  }
}

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
  run.write_packed(2, 1, false, {tensor_of("a", "packed")});
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
  run.write_live({3, 1, 4}, {tensor_of("a", "four"), tensor_of("b", "sixsix")});
  run.write_live({3, 2, 8}, {tensor_of("a", "four")});
  run.write_packed(2, 1, false, {tensor_of("a", "packed and longer")});
  EXPECT_EQ(run.live_bytes().largest, 10);
  EXPECT_EQ(run.live_bytes().written, 14);
}

TEST_F(RunDirTest, FlippedBitAnywhereIsFound) {
  const auto mine = claim();
  RunDir run(*files_, *mine);
  run.begin(record_);
  run.write_packed(0, 0, false, {tensor_of("a", "packed")});
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
  run.write_packed(0, 0, false, {tensor_of("a", "packed")});
  run.set_aside(0, 1);
  EXPECT_FALSE(run.state().has_packed(0, 0));
  EXPECT_THAT([&] { run.write_packed(0, 0, false, {tensor_of("a", "other.")}); },
              throws<Error>("another content"));
  EXPECT_FALSE(run.state().has_packed(0, 0));
  run.write_packed(0, 0, false, {tensor_of("a", "packed")});
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
