#include "checkpoint/claim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "checkpoint/heartbeat.hpp"
#include "checkpoint/run_dir_fixture.hpp"
#include "forwarding_files.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

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
  EXPECT_THAT([&] { slow.write_packed(0, 0, true, {text_tensor("a", "late")}); },
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
    if (reads_ == 3 || reads_ == 5) holder_.beat();
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

// As on a host that remembers an old counter, or cannot read it yet: its first look.
class FirstLookFiles : public ForwardingFiles {
 public:
  explicit FirstLookFiles(std::string first) : first_(std::move(first)) {}
  std::unique_ptr<InputFile> open(const std::string& path) override {
    if (path.ends_with("/beat") && !std::exchange(looked_, true)) {
      return ForwardingFiles::open(first_);
    }
    return ForwardingFiles::open(path);
  }

 private:
  std::string first_;
  bool looked_ = false;
};

TEST_F(RunDirTest, TheLastBeatOfADeadHolderThatIsSeenLateIsNoSignOfLife) {
  const auto first = claim();
  first->beat();
  std::filesystem::copy(first->state_path() + "/beat", path_ + "/old-beat");
  first->beat();
  for (const char* seen : {"/old-beat", "/nothing-yet"}) {
    FirstLookFiles files(path_ + seen);
    EXPECT_FALSE(is_alive(files, first->state_path(), {50ms, 5ms})) << seen;
  }
  const Heartbeat heart(*first, 5ms);
  FirstLookFiles files(path_ + "/old-beat");
  EXPECT_TRUE(is_alive(files, first->state_path(), {5000ms, 5ms}));
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

}  // namespace
}  // namespace bitmill
