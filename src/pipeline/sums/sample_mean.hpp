#pragma once
// Means over all calibration samples of what is as large as a weight: summed batch by batch in the
// fixed tree, the batches in sequence, on slices.

#include <ATen/core/Tensor.h>

#include <functional>

#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "pipeline/sums/sample_share.hpp"

namespace bitmill {

// Collective. The sum over samples of what `unit` fills `values` (all of it, [size] float32) with
// for the own sample i, divided by `divisor`; on every rank. `between`: see sum_own_positions().
at::Tensor mean_over_samples(int64_t size, double divisor, const SampleShare& share,
                             const std::function<void(int64_t i, const at::Tensor& values)>& unit,
                             Communicator& comm, ThreadPool& pool,
                             const std::function<void()>& between = {});

}  // namespace bitmill
