// Saliency over samples by hand, on any ranks.

#include "pipeline/sums/sample_statistics.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "comm/thread_communicator.hpp"

namespace bitmill {
namespace {

constexpr int64_t size = 3;

// Five samples, two to a batch. Sample n has 10 n + j at channel j; of the maxima, sample 4 has the
// largest but at channel 2, where sample 1 has 100.
at::Tensor saliency(Saliency kind, Communicator& comm) {
  ThreadPool pool(2);
  const SampleShare share(5, 2, comm.size(), comm.rank());
  const auto unit = [&](int64_t i, const at::Tensor& statistics) {
    const int64_t n = share.own()[i];
    for (int64_t j = 0; j < size; ++j) statistics[j] = static_cast<double>(10 * n + j);
    if (n == 1) statistics[2] = 100;
  };
  return saliency_over_samples(kind, size, 4, share, unit, comm, *cpu_device(pool), [] {});
}

TEST(SaliencySum, ByHandOnAnyRanks) {
  for (const int ranks : {1, 2, 3, 5}) {
    run_ranks(ranks, [&](Communicator& comm) {
      EXPECT_TRUE(at::equal(saliency(Saliency::max, comm), at::tensor({40.F, 41.F, 100.F})))
          << ranks;
      // 0 + 10 + 20 + 30 + 40 and so on, over four tokens.
      EXPECT_TRUE(at::equal(saliency(Saliency::mean, comm), at::tensor({25.F, 26.25F, 49.5F})))
          << ranks;
    });
  }
}

}  // namespace
}  // namespace bitmill
