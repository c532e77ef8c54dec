#include "schedule/micro_batches.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

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

}  // namespace
}  // namespace bitmill
