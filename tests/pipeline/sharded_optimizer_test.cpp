// One step over replicas gives the same bits for any number of them, of threads, and any batch.

#include "pipeline/sharded_optimizer.hpp"

#include <gtest/gtest.h>

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

std::vector<float> train(int ranks, int threads, int64_t batch, bool restart) {
  const auto all = linears();
  const LearnedLayout layout(all, {});
  std::vector<float> result;
  std::mutex mutex;
  run_ranks(ranks, [&](Communicator& comm) {
    ThreadPool pool(threads);
    auto optimizer = std::make_unique<ShardedOptimizer>(layout, comm, pool);
    std::vector<float> values = layout.initial_values(all);
    for (int64_t step = 0; step < 6; ++step) {
      if (restart && step == 3) {  // state goes through gather and restore
        const ShardedOptimizer::State state = optimizer->gather_state();
        const int64_t steps = optimizer->steps();
        optimizer = std::make_unique<ShardedOptimizer>(layout, comm, pool);
        optimizer->restore(state, steps);
      }
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

TEST(ShardedOptimizer, BatchesDiffer) { EXPECT_NE(train(1, 1, 3, false), train(1, 1, 4, false)); }

}  // namespace
}  // namespace bitmill
