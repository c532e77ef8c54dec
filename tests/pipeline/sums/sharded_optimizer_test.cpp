// One step over replicas gives the same bits for any number of them, of threads, and any batch.

#include "pipeline/sums/sharded_optimizer.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <mutex>

#include "backend/random_linear.hpp"
#include "base/random.hpp"
#include "comm/thread_communicator.hpp"
#include "model/one_thread.hpp"

namespace bitmill {
namespace {

std::vector<InitialLinear> linears() {
  return {{test::random_frozen({1, 150, 70, 3}, 1), at::full({150}, 2.0)},
          {test::random_frozen({1, 13, 4, 2}, 2), at::full({13}, 3.0)}};
}

// Gradients of such different sizes that any other order of additions shows.
void unit(int64_t step, int64_t position, std::span<float> gradient) {
  for (size_t i = 0; i < gradient.size(); ++i) {
    const float u = random_unit(static_cast<uint64_t>(step), RandomPurpose::test_data,
                                static_cast<uint64_t>(position) * 10007 + i);
    gradient[i] = (u - 0.5F) * static_cast<float>(position % 3 == 0 ? 1000 : 1);
  }
}

// A new one with the state of `old`, which goes through rank 0 in two parts.
std::unique_ptr<ShardedOptimizer> restarted(ShardedOptimizer& old, const LearnedLayout& layout,
                                            const RateCurve& rates, Communicator& comm,
                                            ThreadPool& pool) {
  auto fresh = std::make_unique<ShardedOptimizer>(layout, rates, comm, pool);
  const int64_t cut = layout.size() / 3;
  for (const Moment moment : {Moment::first, Moment::second}) {
    for (const auto& [begin, end] : {std::pair{int64_t{0}, cut}, std::pair{cut, layout.size()}}) {
      const std::vector<float> values = old.collect(moment, begin, end);
      EXPECT_EQ(std::ssize(values), comm.rank() == 0 ? end - begin : 0);
      fresh->hand_out(moment, begin, end, values);
    }
  }
  fresh->set_steps(old.steps());
  return fresh;
}

std::vector<float> train(int ranks, int threads, int64_t batch, bool restart) {
  const auto all = linears();
  const LearnedLayout layout(all, {});
  std::vector<float> result;
  std::mutex mutex;
  run_ranks(ranks, [&](Communicator& comm) {
    ThreadPool pool(threads);
    const RateCurve rates{RateSchedule::cosine, 6};
    auto optimizer = std::make_unique<ShardedOptimizer>(layout, rates, comm, pool);
    std::vector<float> values = layout.initial_values(all);
    for (int64_t step = 0; step < 6; ++step) {
      if (restart && step == 3) optimizer = restarted(*optimizer, layout, rates, comm, pool);
      const int64_t n = step == 5 ? (batch + 1) / 2 : batch;  // the last batch is not full
      optimizer->step(
          n, [&](int64_t position, std::span<float> g) { unit(step, position, g); }, values);
    }
    std::lock_guard lock(mutex);
    if (result.empty()) result = values;
    EXPECT_EQ(result, values) << "rank " << comm.rank();
  });
  return result;
}

TEST(ShardedOptimizer, BitsDoNotDependOnRanksThreadsOrRestarts) {
  for (const int64_t batch : {1, 3, 8, 11}) {
    const std::vector<float> expected = train(1, 1, batch, false);
    for (const int ranks : {1, 2, 3, 4, 5, 9}) {
      EXPECT_EQ(train(ranks, 1 + ranks % 3, batch, ranks % 2 == 0), expected)
          << ranks << " ranks, batch " << batch;
    }
  }
}

// 70 floats for each peer at a time: slices travel in many pieces.
TEST(SlicedSum, PiecesGiveTheBitsOfTheWhole) {
  constexpr int64_t size = 1003, batch = 11;
  const auto sum_on = [&](int ranks, int64_t floats_per_exchange) {
    std::vector<float> result;
    std::mutex mutex;
    run_ranks(ranks, [&](Communicator& comm) {
      ThreadPool pool(2);
      SlicedSum sum(size, comm, pool, floats_per_exchange);
      const AlignedVector<float> own = sum.reduce(
          batch, [&](int64_t position, std::span<float> values) { unit(0, position, values); });
      std::vector<float> all(size);
      std::copy(own.begin(), own.end(), all.begin() + sum.begin());
      sum.gather(all);
      std::lock_guard lock(mutex);
      result = all;
    });
    return result;
  };
  const std::vector<float> expected = sum_on(1, 1 << 20);
  for (const int ranks : {2, 3, 5, 9}) {
    EXPECT_EQ(sum_on(ranks, 1 << 20), expected) << ranks;
    EXPECT_EQ(sum_on(ranks, 70 * ranks), expected) << ranks;
  }
}

TEST(ShardedOptimizer, BatchesDiffer) { EXPECT_NE(train(1, 1, 3, false), train(1, 1, 4, false)); }

}  // namespace
}  // namespace bitmill
