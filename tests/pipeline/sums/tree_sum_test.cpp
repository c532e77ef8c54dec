// What the caller of a long sum may do meanwhile.

#include "pipeline/sums/tree_sum.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <utility>

#include "comm/self_communicator.hpp"
#include "pipeline/sums/sample_mean.hpp"

namespace bitmill {
namespace {

TEST(TreeSum, TheCallerIsAskedWheneverThePoolWentThroughAUnitAThread) {
  const std::vector<std::pair<int, std::vector<int>>> cases = {
      {1, {1, 2, 3, 4, 5}}, {2, {2, 4, 5}}, {3, {3, 5}}, {8, {5}}};
  for (const auto& [threads, expected] : cases) {
    ThreadPool pool(threads);
    std::atomic<int> units = 0;
    std::vector<int> heard;
    const auto sums = sum_own_positions<float>(
        5, 1, 0, 4, pool, [&](int64_t, std::span<float>) { ++units; },
        [](std::span<float>, std::span<const float>) {}, [&] { heard.push_back(units); });
    EXPECT_EQ(heard, expected) << threads << " threads";
    EXPECT_EQ(sums.size(), 1U);
  }
}

// Five samples, two to a batch.
TEST(SampleMean, TheCallerIsAskedInEveryBatch) {
  const auto comm = self_communicator();
  ThreadPool pool(2);
  int asked = 0;
  const std::vector<float> mean = mean_over_samples(
      3, 5, SampleShare(5, 2, 1, 0),
      [](int64_t i, std::span<float> values) { values[0] = static_cast<float>(i); }, *comm, pool,
      [&] { ++asked; });
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(mean, (std::vector<float>{2, 0, 0}));
}

}  // namespace
}  // namespace bitmill
