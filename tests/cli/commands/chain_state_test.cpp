#include "cli/commands/chain_state.hpp"

#include <gmock/gmock.h>

#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "cli/commands/chain_fixture.hpp"
#include "cli/commands/chain_status.hpp"
#include "cli/commands/chain_steps.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Kills between two parts, where no part has a claim.
TEST(ChainStateOf, StartsThatCommitNothingAreCounted) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::vector<ChainPart> parts = {{"quantize", folder / "out", folder / "w/1-quantize.work"}};
  const ClaimTiming timing{std::chrono::milliseconds(100), std::chrono::milliseconds(10)};
  const auto start = [&](bool commits) {
    RunControl control;
    control.heartbeat = false;
    ChainState state(*files, folder / "w", parts, control, [](const std::string&) {});
    state.answer();
    if (commits) state.part_done("quantize", 2.5);
    state.stop("killed");
    return read_chain_status(*files, folder / "w", timing).starts_in_vain;
  };
  EXPECT_EQ(start(false), 0);
  EXPECT_EQ(start(false), 1);
  EXPECT_EQ(start(false), 2);
  EXPECT_EQ(start(true), 0) << "it has finished a part";
  EXPECT_EQ(start(false), 0);
  EXPECT_EQ(start(false), 1);
  EXPECT_EQ(read_chain(*files, folder / "w").seconds.at("quantize"), 2.5);
}

// While the base is made only its own run counts the starts; after it, before the training has a
// run folder, the chain does.
TEST(ChainStateOf, TheBaseOfPreprocessIsAStep) {
  const TempFolder folder;
  const auto files = posix_files();
  const auto start = [&](bool has_base) {
    const RunControl control = quiet_control();
    ChainState state(*files, folder / "w", {{"preprocess", folder / "p", folder / "w/p.work"}},
                     control, [](const std::string&) {});
    state.answer();
    if (has_base) state.base_done();
    state.stop("killed");
    return read_chain_status(*files, folder / "w", control.claim_timing).starts_in_vain;
  };
  for (const int in_vain : {0, 1, 2}) EXPECT_EQ(start(false), in_vain);
  EXPECT_EQ(start(true), 0);
  for (const int in_vain : {0, 1}) EXPECT_EQ(start(true), in_vain) << "it was there already";
}

// The watchdog has written it while rank 0 held the chain's folder and no part's.
TEST(ChainStateOf, AFailureOfAnotherRankIsKnownUntilTheNextStart) {
  const TempFolder folder;
  const auto files = posix_files();
  const RunControl control = quiet_control();
  const auto start = [&] {
    ChainState state(*files, folder / "w", {{"quantize", folder / "out", folder / "w/q.work"}},
                     control, [](const std::string&) {});
    state.answer();
    state.stop("a peer is gone");
  };
  const auto status = [&] { return read_chain_status(*files, folder / "w", control.claim_timing); };
  start();
  folder.write("w/trouble.json", R"({"kind": "failed", "exit_code": 75, "blamed": [1]})");
  EXPECT_EQ(status().phase, RunPhase::stopped) << "75 is worth another start";
  folder.write("w/trouble.json", R"({"kind": "failed", "exit_code": 1, "blamed": [1]})");
  EXPECT_EQ(status().phase, RunPhase::failed);
  EXPECT_THAT(status().failure, HasSubstr("rank 1 ended with 1"));
  start();
  EXPECT_EQ(status().phase, RunPhase::stopped);
}

TEST(ChainStateOf, FiguresThatTheLastWholeStartDidNotNeedAreDropped) {
  const TempFolder folder;
  const auto files = posix_files();
  const auto start = [&](const std::set<std::string>& folders) {
    ChainState state(*files, folder / "w", {{"quantize", folder / "out", folder / "w/q.work"}},
                     quiet_control(), [](const std::string&) {});
    state.answer();
    for (const std::string& one : folders) {
      if (!state.measured(one)) state.add_measured(one, "{}");
    }
    state.finish();
    std::set<std::string> kept;
    for (const auto& [what, figures] : read_chain(*files, folder / "w").measured) kept.insert(what);
    return kept;
  };
  const std::set<std::string> first = {"a", "b"}, second = {"b", "c"};
  EXPECT_EQ(start(first), first);
  EXPECT_EQ(start(second), second);
}

TEST(ChainStateOf, AFullDiskDoesNotTurnAStopIntoAFailure) {
  class FullDisk : public ForwardingFiles {
   public:
    std::unique_ptr<OutputFile> create(const std::string& path) override {
      if (full && path.find("chain.json") != path.npos) throw FileError(path + ": no space left");
      return ForwardingFiles::create(path);
    }
    bool full = false;
  };
  const TempFolder folder;
  FullDisk files;
  std::string said;
  ChainState state(files, folder / "w", {{"quantize", folder / "out", folder / "w/q.work"}},
                   quiet_control(), [&](const std::string& text) { said += text; });
  state.answer();
  files.full = true;
  state.part_stopped("quantize", 1.5);
  EXPECT_THAT(said, AllOf(HasSubstr("could not be recorded"), HasSubstr("no space left")));
  EXPECT_THROW(state.part_done("quantize", 1.5), FileError) << "it would be done anew";
}

TEST(ChainStepOf, AResultThatAnotherHostHasNamedMaySeemMissingForAWhile) {
  class SlowFolder : public ForwardingFiles {
   public:
    bool exists(const std::string& path) override {
      return looks++ >= 2 && ForwardingFiles::exists(path);
    }
    int looks = 0;
  };
  const TempFolder folder;
  folder.write("w/1-quantize/config.json", "{}");
  const ChainPart part = {"quantize", folder / "w/1-quantize", folder / "w/1-quantize.work"};
  SlowFolder files;
  wait_for_result(files, part, std::chrono::seconds(20));
  EXPECT_EQ(files.looks, 3);
  try {
    wait_for_result(files, {"tune", folder / "nowhere/out", ""}, std::chrono::milliseconds(1));
    FAIL() << "it is not there";
  } catch (const FileError& error) {
    EXPECT_THAT(error.what(),
                HasSubstr(folder / "nowhere/out" + ", made by [tune], is not visible"));
  }
}

TEST(ChainStateOf, AStartThatWasRefusedChangesNothing) {
  const TempFolder folder;
  const auto files = posix_files();
  RunControl control;
  control.heartbeat = false;
  ChainState state(*files, folder / "w", {{"quantize", folder / "out", folder / "run"}}, control,
                   [](const std::string&) {});
  state.fail("refused");
  EXPECT_FALSE(holds_chain(*files, folder / "w"));
}

}  // namespace
}  // namespace bitmill
