// Saliency over samples by hand, on any ranks.

#include "pipeline/sums/saliency_sum.hpp"

#include <gtest/gtest.h>

#include "comm/thread_communicator.hpp"

namespace bitmill {
namespace {

constexpr int64_t size = 3;

// Five samples, two to a batch. Sample n has 10 n + j at channel j; of the maxima, sample 4 has the
// largest but at channel 2, where sample 1 has 100.
std::vector<float> saliency(Saliency kind, Communicator& comm) {
  ThreadPool pool(2);
  const SampleShare share(5, 2, comm.size(), comm.rank());
  const auto unit = [&](int64_t i, std::span<double> statistics) {
    const int64_t n = share.own()[i];
    for (int64_t j = 0; j < size; ++j) statistics[j] = static_cast<double>(10 * n + j);
    if (n == 1) statistics[2] = 100;
  };
  return saliency_over_samples(kind, size, 4, share, unit, comm, pool, [] {});
}

TEST(SaliencySum, ByHandOnAnyRanks) {
  for (const int ranks : {1, 2, 3, 5}) {
    run_ranks(ranks, [&](Communicator& comm) {
      EXPECT_EQ(saliency(Saliency::max, comm), (std::vector<float>{40, 41, 100})) << ranks;
      // 0 + 10 + 20 + 30 + 40 and so on, over four tokens.
      EXPECT_EQ(saliency(Saliency::mean, comm), (std::vector<float>{25, 26.25F, 49.5F})) << ranks;
    });
  }
}

}  // namespace
}  // namespace bitmill
