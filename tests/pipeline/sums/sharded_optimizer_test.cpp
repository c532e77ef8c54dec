// One step over replicas gives the same bits for any number of them, of threads, and any batch.

#include "pipeline/sums/sharded_optimizer.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>
#include <mutex>

#include "base/random.hpp"
#include "comm/thread_communicator.hpp"
#include "model/one_thread.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

// Small and large ones, with gaps behind them.
std::vector<LearnedTensors> linears() {
  const auto some = [](int64_t size, float first, double rate) {
    return LearnedTensor{"scale", {size}, rate, false, at::full({size}, first)};
  };
  return {{some(150, 2, 5e-4), {"gain", {70}, 1e-3}, {"signs", {15, 7}, 3e-2, true}},
          {some(13, 3, 5e-4), {"gain", {4}, 1e-3}}};
}

// Gradients of such different sizes that any other order of additions shows.
void unit(int64_t step, int64_t position, const at::Tensor& values) {
  const std::span<float> gradient = floats_of(values);
  for (size_t i = 0; i < gradient.size(); ++i) {
    const float u = random_unit(static_cast<uint64_t>(step), RandomPurpose::test_data,
                                static_cast<uint64_t>(position) * 10007 + i);
    gradient[i] = (u - 0.5F) * static_cast<float>(position % 3 == 0 ? 1000 : 1);
  }
}

// A new one with the state of `old`, which goes through rank 0 in two parts.
std::unique_ptr<ShardedOptimizer> restarted(ShardedOptimizer& old, const LearnedLayout& layout,
                                            const RateCurve& rates, Communicator& comm,
                                            const Device& device) {
  auto fresh = std::make_unique<ShardedOptimizer>(layout, rates, comm, device);
  const int64_t cut = layout.size() / 3;
  for (const Moment moment : {Moment::first, Moment::second}) {
    for (const auto& [begin, end] : {std::pair{int64_t{0}, cut}, std::pair{cut, layout.size()}}) {
      const at::Tensor values = old.collect(moment, begin, end);
      EXPECT_EQ(values.numel(), comm.rank() == 0 ? end - begin : 0);
      fresh->hand_out(moment, begin, end, values);
    }
  }
  fresh->set_steps(old.steps());
  return fresh;
}

at::Tensor train(int ranks, int threads, int64_t batch, bool restart) {
  const auto all = linears();
  const LearnedLayout layout(all);
  at::Tensor result;
  std::mutex mutex;
  run_ranks(ranks, [&](Communicator& comm) {
    ThreadPool pool(threads);
    const auto device = cpu_device(pool);
    const RateCurve rates{RateSchedule::cosine, 6};
    auto optimizer = std::make_unique<ShardedOptimizer>(layout, rates, comm, *device);
    const at::Tensor values = layout.initial_values(all);
    for (int64_t step = 0; step < 6; ++step) {
      if (restart && step == 3) optimizer = restarted(*optimizer, layout, rates, comm, *device);
      const int64_t n = step == 5 ? (batch + 1) / 2 : batch;  // the last batch is not full
      optimizer->step(
          n, [&](int64_t position, const at::Tensor& g) { unit(step, position, g); }, values);
    }
    std::lock_guard lock(mutex);
    if (!result.defined()) result = values;
    EXPECT_TRUE(at::equal(result, values)) << "rank " << comm.rank();
  });
  return result;
}

TEST(ShardedOptimizer, BitsDoNotDependOnRanksThreadsOrRestarts) {
  for (const int64_t batch : {1, 3, 8, 11}) {
    const at::Tensor expected = train(1, 1, batch, false);
    for (const int ranks : {1, 2, 3, 4, 5, 9}) {
      EXPECT_TRUE(at::equal(train(ranks, 1 + ranks % 3, batch, ranks % 2 == 0), expected))
          << ranks << " ranks, batch " << batch;
    }
  }
}

// 70 floats for each peer at a time: slices travel in many pieces.
TEST(SlicedSum, PiecesGiveTheBitsOfTheWhole) {
  constexpr int64_t size = 1003, batch = 11;
  const auto sum_on = [&](int ranks, int64_t floats_per_exchange) {
    at::Tensor result;
    std::mutex mutex;
    run_ranks(ranks, [&](Communicator& comm) {
      ThreadPool pool(2);
      const auto device = cpu_device(pool);
      SlicedSum sum(size, comm, *device, floats_per_exchange);
      const at::Tensor own = sum.reduce(
          batch, [&](int64_t position, const at::Tensor& values) { unit(0, position, values); });
      const at::Tensor all = at::zeros({size});
      all.narrow(0, sum.begin(), own.numel()).copy_(own);
      sum.gather(all);
      std::lock_guard lock(mutex);
      result = all;
    });
    return result;
  };
  const at::Tensor expected = sum_on(1, 1 << 20);
  for (const int ranks : {2, 3, 5, 9}) {
    EXPECT_TRUE(at::equal(sum_on(ranks, 1 << 20), expected)) << ranks;
    EXPECT_TRUE(at::equal(sum_on(ranks, 70 * ranks), expected)) << ranks;
  }
}

TEST(ShardedOptimizer, BatchesDiffer) {
  EXPECT_FALSE(at::equal(train(1, 1, 3, false), train(1, 1, 4, false)));
}

}  // namespace
}  // namespace bitmill
