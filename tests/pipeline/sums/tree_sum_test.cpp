// What the caller of a long sum may do meanwhile.

#include "pipeline/sums/tree_sum.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <utility>

#include "comm/self_communicator.hpp"
#include "pipeline/sums/sample_statistics.hpp"

namespace bitmill {
namespace {

TEST(TreeSum, TheCallerIsAskedWheneverThePoolWentThroughAUnitAThread) {
  const std::vector<std::pair<int, std::vector<int>>> cases = {
      {1, {1, 2, 3, 4, 5}}, {2, {2, 4, 5}}, {3, {3, 5}}, {8, {5}}};
  for (const auto& [threads, expected] : cases) {
    ThreadPool pool(threads);
    std::atomic<int> units = 0;
    std::vector<int> heard;
    const auto sums = sum_own_positions(
        5, 1, 0, {4}, *cpu_device(pool), [&](int64_t, const at::Tensor&) { ++units; },
        [](const at::Tensor&, const at::Tensor&) {}, [&] { heard.push_back(units); });
    EXPECT_EQ(heard, expected) << threads << " threads";
    EXPECT_EQ(sums.size(), 1U);
  }
}

// Five samples, two to a batch.
TEST(SampleMean, TheCallerIsAskedInEveryBatch) {
  const auto comm = self_communicator();
  ThreadPool pool(2);
  int asked = 0;
  const at::Tensor mean = mean_over_samples(
      3, 5, SampleShare(5, 2, 1, 0), [](int64_t i, const at::Tensor& values) { values.fill_(i); },
      *comm, *cpu_device(pool), [&] { ++asked; });
  EXPECT_EQ(asked, 3);
  EXPECT_TRUE(at::equal(mean, at::full({3}, 2.0)));
}

// Where products are written decides their last bits: not the heap, but 64 bytes.
TEST(TreeSum, UnitsBeginAtCacheLinesAndHaveTheirDtype) {
  ThreadPool pool(2);
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const auto sums = sum_own_positions(
        7, 1, 0, {5, dtype}, *cpu_device(pool),
        [&](int64_t position, const at::Tensor& values) {
          EXPECT_EQ(values.scalar_type(), dtype);
          EXPECT_EQ(reinterpret_cast<uintptr_t>(values.data_ptr()) % 64, 0U);
          values.fill_(position);
        },
        [](const at::Tensor& into, const at::Tensor& from) { into.add_(from); });
    EXPECT_TRUE(at::equal(sums.at(0), at::full({5}, 21, dtype)));
  }
}

// Two pieces and a bit; 1e8 + 1 is 1e8 in float32.
TEST(TreeSum, AnAdditionThatIsSpreadIsThePlainOne) {
  ThreadPool pool(3);
  const int64_t length = (int64_t{2} << 16) + 5;
  const at::Tensor into = at::full({length}, 1e8), from = at::ones({length});
  from[length - 1] = 16;
  add_spread(into, from, pool);
  at::Tensor expected = at::full({length}, 1e8);
  expected[length - 1] = 1e8 + 16;
  EXPECT_TRUE(at::equal(into, expected));
}

// A view of a sum refers to its memory, too.
TEST(SumMemory, IsUsedAgainWhenNobodyRefersToIt) {
  SumMemory memory;
  const FlatShape shape{100};
  at::Tensor first = memory.take(shape), second = memory.take(shape);
  const void *of_first = first.data_ptr(), *of_second = second.data_ptr();
  EXPECT_NE(of_first, of_second);
  at::Tensor view = second.narrow(0, 10, 20);
  first.reset();
  second.reset();
  const at::Tensor third = memory.take(shape), fourth = memory.take(shape);
  EXPECT_EQ(third.data_ptr(), of_first);
  EXPECT_NE(fourth.data_ptr(), of_second);
  view.reset();
  EXPECT_EQ(memory.take(shape).data_ptr(), of_second);
}

}  // namespace
}  // namespace bitmill
