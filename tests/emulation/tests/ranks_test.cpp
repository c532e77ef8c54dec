// NCCL between processes: what is right passes, and what would hang or harm on devices is caught.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "emulation/tests/child_run.hpp"

namespace bitmill::emulation_tests {
namespace {

constexpr int right = 0, late = 4, usage = 5, remote = 6, refused = 7;

// Exit statuses of three ranks.
std::vector<int> three_ranks(const std::string& what, const std::string& environment = "",
                             std::string* output = nullptr) {
  constexpr int count = 3;
  const TempFolder folder;
  std::vector<ChildRun> runs(count);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      runs[static_cast<size_t>(rank)] =
          run_child("BITMILL_EMULATION_DEVICES=3 " + environment,
                    std::string(RANKS_PROGRAM) + " " + what + " " + std::to_string(rank) + " " +
                        std::to_string(count) + " " + folder / "id");
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<int> statuses;
  for (const ChildRun& run : runs) {
    statuses.push_back(run.exit_code);
    if (output != nullptr) *output += run.output;
  }
  return statuses;
}

using Statuses = std::vector<int>;

// A deadline finds it, for one of the ranks at least. That one leaves, which its neighbours may see
// before their own deadline ends.
void expect_found_by_deadline(const Statuses& statuses) {
  EXPECT_NE(std::ranges::find(statuses, late), statuses.end());
  for (const int status : statuses) EXPECT_TRUE(status == late || status == remote) << status;
}

TEST(Ranks, ExchangeRoundARing) {
  EXPECT_EQ(three_ranks("ring"), (Statuses{right, right, right}));
  EXPECT_EQ(three_ranks("ring", "BITMILL_EMULATION_DELAY_US=50000"),
            (Statuses{right, right, right}));
}

TEST(Ranks, ExchangeUnderMpirun) {
  const ChildRun run = run_child("BITMILL_EMULATION_DEVICES=3",
                                 std::string(MPIRUN_PROGRAM) + " -n 3 " + RANKS_PROGRAM + " ring");
  EXPECT_EQ(run.exit_code, right) << run.output;
}

TEST(Ranks, UngroupedExchangeDeadlocksAndADeadlineFindsIt) {
  expect_found_by_deadline(three_ranks("ungrouped"));
}

// Rank 0 sends half of what rank 1 waits for. Rank 2 has no part in that: it waits for rank 1 and
// rank 0, which may be done with it or not.
TEST(Ranks, SizesThatDifferAreNamedOnBothSides) {
  std::string output;
  const Statuses statuses = three_ranks("mismatch", "", &output);
  EXPECT_EQ(statuses[0], usage);
  EXPECT_EQ(statuses[1], usage);
  EXPECT_NE(output.find("sends 131072 bytes to rank 1, which waits for 262144"), std::string::npos)
      << output;
}

// Before their deadline, which would have another status.
TEST(Ranks, RankThatDiesIsLostToItsNeighbours) {
  std::string output;
  EXPECT_EQ(three_ranks("ring", "BITMILL_EMULATION_NCCL_DIE=1:2", &output),
            (Statuses{remote, 0, remote}))
      << output;
}

TEST(Ranks, RankThatStallsIsFoundByADeadlineAlone) {
  expect_found_by_deadline(three_ranks("ring", "BITMILL_EMULATION_NCCL_STALL=1:2"));
}

TEST(Ranks, RankThatDiesSilentlyIsFoundByADeadlineAlone) {
  const Statuses statuses =
      three_ranks("ring", "BITMILL_EMULATION_NCCL_DIE=1:2 BITMILL_EMULATION_NCCL_SILENT=1");
  EXPECT_EQ(statuses[1], 0);
  expect_found_by_deadline({statuses[0], statuses[2]});
}

TEST(Ranks, ARankMayDieOrStallWhileItConnects) {
  const Statuses dead = three_ranks("ring", "BITMILL_EMULATION_NCCL_DIE=1:init");
  EXPECT_EQ(dead[1], 0);
  EXPECT_NE(dead[0], right);
  EXPECT_NE(dead[2], right);
  for (const int status : three_ranks("ring", "BITMILL_EMULATION_NCCL_STALL=1:init")) {
    EXPECT_NE(status, right);
  }
}

TEST(Ranks, AFaultThatIsNotUnderstoodEndsTheProcess) {
  for (const char* setting :
       {"DIE=", "DIE=1", "DIE=1:", "DIE=:2", "DIE=1:0", "DIE=one:2", "DIE=1:2x", "DIE=1:-2",
        "DIE=1:99999999999", "DIE=1:Init", "DIE=one:init", "STALL=1;2", "SILENT=yes", "SILENT=2"}) {
    const TempFolder folder;
    const std::string variable = std::string("BITMILL_EMULATION_NCCL_") + setting;
    const ChildRun run =
        run_child("'" + variable + "'", std::string(RANKS_PROGRAM) + " ring 0 1 " + folder / "id");
    EXPECT_EQ(run.exit_code, 2) << setting;
    EXPECT_TRUE(run.says(variable + " is not understood")) << run.output;
  }
}

TEST(Ranks, PageableMemoryIsRefused) {
  EXPECT_EQ(three_ranks("pageable"), (Statuses{refused, refused, refused}));
}

TEST(Ranks, CommunicatorThatDoesNotBlockRefusesWhoDoesNotAsk) {
  EXPECT_EQ(three_ranks("hurry", "BITMILL_EMULATION_DELAY_US=50000"),
            (Statuses{refused, refused, refused}));
}

TEST(Ranks, TwoOnOneDeviceOfOneHostAreRefused) {
  std::string output;
  EXPECT_EQ(three_ranks("ring", "RANKS_DEVICE=0", &output), (Statuses{usage, usage, usage}));
  EXPECT_NE(output.find("Duplicate GPU detected"), std::string::npos) << output;
}

TEST(Ranks, InterfaceThatIsNotThereIsASystemError) {
  std::string output;
  const Statuses statuses = three_ranks("ring", "NCCL_SOCKET_IFNAME=nowhere", &output);
  EXPECT_EQ(statuses[0], 1) << output;
}

}  // namespace
}  // namespace bitmill::emulation_tests
