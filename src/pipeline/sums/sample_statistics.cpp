#include "pipeline/sums/sample_statistics.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/pieces.hpp"
#include "comm/gather.hpp"
#include "method/saliency.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/sums/sliced_sum.hpp"
#include "pipeline/sums/tree_sum.hpp"

namespace bitmill {
namespace {

// Joins the partial sums of all replicas of a batch of n into `total`.
void join_partials(const Partials& own, int64_t n, const SampleShare& share, Communicator& comm,
                   const Merge& merge, const at::Tensor& total) {
  const at::Tensor mine = at::empty({std::ssize(own), total.numel()}, at::kDouble);
  int64_t row = 0;
  for (const auto& [position, sum] : own) mine[row++].copy_(sum);
  auto parts = gather_values<double>(comm, doubles_of(mine));
  Partials partials;
  for (int replica = 0; replica < share.replicas(); ++replica) {
    double* values = parts[static_cast<size_t>(replica)].data();
    for (const int64_t position : local_partials(n, share.replicas(), replica)) {
      partials[position] = at::from_blob(values, total.sizes(), total.options());
      values += total.numel();
    }
  }
  merge(total, finish_tree(n, share.replicas(), partials, merge));
}

}  // namespace

at::Tensor mean_over_samples(int64_t size, double divisor, const SampleShare& share,
                             const SampleUnit& unit, const Replicas& replicas, const Device& device,
                             const std::function<void()>& between) {
  SlicedSum sum(size, replicas, device);
  const at::Tensor mean = at::zeros({size}, device.torch());
  const at::Tensor own = mean.narrow(0, sum.begin(), sum.end() - sum.begin());
  for (int64_t step = 0; step < share.steps(); ++step) {
    const auto unit_at = [&](int64_t position, const at::Tensor& values) {
      unit(share.own_index(step, position), values);
    };
    add_spread(own, sum.reduce(share.batch_size(step), unit_at, between), device.host());
  }
  // Divided in float64, and rounded once; in pieces, for the memory.
  device.for_units(piece_count(own.numel(), elements_per_task), [&](int64_t piece) {
    const int64_t first = piece * elements_per_task;
    at::Tensor part = own.narrow(0, first, std::min(elements_per_task, own.numel() - first));
    part.copy_(part.to(at::kDouble).div_(divisor));
  });
  sum.gather(mean);
  return device.fetch(mean);
}

at::Tensor saliency_over_samples(Saliency kind, int64_t size, double tokens,
                                 const SampleShare& share, const SampleUnit& unit,
                                 Communicator& comm, const Device& device,
                                 const std::function<void()>& between) {
  const Merge merge = [kind](const at::Tensor& into, const at::Tensor& more) {
    merge_statistics(kind, into, more);
  };
  at::Tensor total = at::zeros({size}, at::kDouble);
  for (int64_t step = 0; step < share.steps(); ++step) {
    const int64_t n = share.batch_size(step);
    const auto probe = [&](int64_t position, const at::Tensor& statistics) {
      unit(share.own_index(step, position), statistics);
    };
    const Partials own =
        sum_own_positions(n, share.replicas(), share.replica(), {size, at::kDouble, device.torch()},
                          device, probe, merge, between);
    join_partials(own, n, share, comm, merge, total);
  }
  if (kind == Saliency::mean) total.div_(tokens);
  return total.to(at::kFloat);
}

}  // namespace bitmill
