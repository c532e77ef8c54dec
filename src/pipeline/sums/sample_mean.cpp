#include "pipeline/sums/sample_mean.hpp"

#include <ATen/ATen.h>

#include "pipeline/sums/sliced_sum.hpp"

namespace bitmill {

at::Tensor mean_over_samples(int64_t size, double divisor, const SampleShare& share,
                             const std::function<void(int64_t i, const at::Tensor& values)>& unit,
                             Communicator& comm, ThreadPool& pool,
                             const std::function<void()>& between) {
  SlicedSum sum(size, comm, pool);
  at::Tensor mean = at::zeros({size});
  const at::Tensor own = mean.narrow(0, sum.begin(), sum.end() - sum.begin());
  for (int64_t step = 0; step < share.steps(); ++step) {
    const auto unit_at = [&](int64_t position, const at::Tensor& values) {
      unit(share.own_index(step, position), values);
    };
    add_spread(own, sum.reduce(share.batch_size(step), unit_at, between), pool);
  }
  // In float64, and rounded once.
  for_pieces(own.numel(), pool, [&](int64_t first, int64_t count) {
    at::Tensor piece = own.narrow(0, first, count);
    piece.copy_(piece.to(at::kDouble).div_(divisor));
  });
  sum.gather(mean);
  return mean;
}

}  // namespace bitmill
