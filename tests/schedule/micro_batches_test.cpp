#include "schedule/micro_batches.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <vector>

namespace bitmill {
namespace {

using testing::ElementsAre;

constexpr MicroAction F(int64_t i) { return {true, i}; }
constexpr MicroAction B(int64_t i) { return {false, i}; }

TEST(MicroBatches, StagesHoldEveryBlockOnce) {
  EXPECT_EQ(blocks_of_stage(5, 2, 0), (PositionRange{0, 2}));
  EXPECT_EQ(blocks_of_stage(5, 2, 1), (PositionRange{2, 5}));
}

TEST(MicroBatches, OneStageTakesAsManyAsItMay) {
  EXPECT_THAT(micro_batches({2, 7}, 1, 3), ElementsAre(PositionRange{2, 5}, PositionRange{5, 7}));
}

TEST(MicroBatches, StagesAreFilledByTwoEach) {
  EXPECT_EQ(micro_batches({0, 16}, 2, 100).size(), 4U);
  EXPECT_EQ(micro_batches({0, 3}, 2, 100).size(), 3U);
  EXPECT_TRUE(micro_batches({3, 3}, 2, 100).empty());
}

TEST(MicroBatches, FirstStageRunsAheadAndTheLastDoesNot) {
  EXPECT_THAT(one_forward_one_backward(2, 0, 3), ElementsAre(F(0), F(1), B(0), F(2), B(1), B(2)));
  EXPECT_THAT(one_forward_one_backward(2, 1, 3), ElementsAre(F(0), B(0), F(1), B(1), F(2), B(2)));
  EXPECT_THAT(one_forward_one_backward(3, 0, 1), ElementsAre(F(0), B(0)));
  EXPECT_TRUE(one_forward_one_backward(3, 1, 0).empty());
}

// Carried out with messages that wait for their receiver: everybody comes to the end, and no more
// than stages - stage micro-batches are between their passes.
TEST(MicroBatches, NoMeshIsStuck) {
  for (int stages = 1; stages <= 5; ++stages) {
    for (int64_t count = 0; count <= 7; ++count) {
      std::vector<std::deque<MicroAction>> left(stages);
      for (int s = 0; s < stages; ++s) {
        const auto actions = one_forward_one_backward(stages, s, count);
        left[s].assign(actions.begin(), actions.end());
        EXPECT_EQ(std::ssize(actions), 2 * count);
      }
      std::vector<int64_t> forwards(stages + 1), backwards(stages + 1);  // done by a stage
      backwards[stages] = count;
      for (bool moved = true; moved;) {
        moved = false;
        for (int s = 0; s < stages; ++s) {
          if (left[s].empty()) continue;
          const MicroAction next = left[s].front();
          const bool has_input = next.forward
                                     ? s == 0 || forwards[s - 1] > next.micro_batch
                                     : forwards[s] > next.micro_batch &&
                                           (s + 1 == stages || backwards[s + 1] > next.micro_batch);
          if (!has_input) continue;
          ++(next.forward ? forwards : backwards)[s];
          EXPECT_LE(forwards[s] - backwards[s], stages - s);
          left[s].pop_front();
          moved = true;
        }
      }
      for (const auto& rest : left) EXPECT_TRUE(rest.empty()) << stages << " stages, " << count;
    }
  }
}

// Carries out the steps of `stages` stages, of which stage `eager` does all it can before any other
// does more than it must. Returns the most that `eager` had sent and its neighbours had not taken.
int64_t most_sent_by(int stages, int eager, int64_t count) {
  std::vector<std::vector<MicroAction>> actions;
  for (int s = 0; s < stages; ++s) actions.push_back(one_forward_one_backward(stages, s, count));
  std::vector<size_t> done(static_cast<size_t>(stages));
  // What stage s has sent; what it has taken when it begins an action of that kind.
  std::vector<int64_t> forwards(stages), backwards(stages), taken_forwards(stages),
      taken_backwards(stages);
  int64_t most = 0;
  // An action takes its input when it begins. It ends, and sends, only when `ends` says so.
  const auto can_begin = [&](int s) {
    if (done[s] == actions[s].size()) return false;
    const MicroAction next = actions[s][done[s]];
    if (next.forward) return s == 0 || forwards[s - 1] > next.micro_batch;
    return s + 1 == stages || backwards[s + 1] > next.micro_batch;
  };
  const auto carry_out = [&](int s) {
    const MicroAction next = actions[s][done[s]++];
    ++(next.forward ? taken_forwards : taken_backwards)[s];
    ++(next.forward ? forwards : backwards)[s];
    int64_t kept = 0;
    if (eager + 1 < stages) kept += forwards[eager] - taken_forwards[eager + 1];
    if (eager > 0) kept += backwards[eager] - taken_backwards[eager - 1];
    most = std::max(most, kept);
  };
  while (true) {
    while (can_begin(eager)) carry_out(eager);
    // The others give the eager one what it waits for, and no more: the action that takes least
    // from it first.
    int who = -1;
    for (int s = 0; s < stages; ++s) {
      if (s == eager || !can_begin(s)) continue;
      const bool takes = (s == eager + 1 && actions[s][done[s]].forward) ||
                         (s == eager - 1 && !actions[s][done[s]].forward);
      if (who < 0 || !takes) who = s;
      if (!takes) break;
    }
    if (who < 0) return most;
    carry_out(who);
  }
}

// Counted on an order of events that is as bad as it can be.
TEST(MicroBatches, NoStageIsFurtherAheadOfItsNeighboursThanIsCounted) {
  for (int stages = 1; stages <= 5; ++stages) {
    for (int stage = 0; stage < stages; ++stage) {
      for (int64_t count = 0; count <= 12; ++count) {
        const int64_t limit = most_sent_ahead(stages, stage, count);
        const int64_t most = most_sent_by(stages, stage, count);
        EXPECT_LE(most, limit) << stages << " stages, stage " << stage << ", " << count;
        EXPECT_LE(limit, 2 * count);
        if (stage == 0) {
          EXPECT_EQ(most, limit) << stages << " stages, " << count;
        }
      }
    }
  }
  EXPECT_EQ(most_sent_ahead(1, 0, 9), 0);
  EXPECT_EQ(most_sent_ahead(4, 0, 9), 4);
  EXPECT_EQ(most_sent_ahead(4, 1, 9), 7);
  EXPECT_EQ(most_sent_ahead(4, 3, 9), 2);
}

}  // namespace
}  // namespace bitmill
