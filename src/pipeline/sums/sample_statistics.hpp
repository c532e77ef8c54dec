#pragma once
// Statistics over all calibration samples, batch by batch in the fixed tree, the batches in
// sequence. `unit` fills all of the tensor that it is given for the own sample i; `between` is that
// of sum_own_positions(). Results are on every rank.

#include <ATen/core/Tensor.h>

#include <functional>

#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "method/settings.hpp"
#include "pipeline/sums/sample_share.hpp"

namespace bitmill {

using SampleUnit = std::function<void(int64_t i, const at::Tensor& values)>;

// Collective. The mean of what may be as large as a weight: the sum over samples of units [size]
// float32, divided by `divisor`. Summed on slices.
at::Tensor mean_over_samples(int64_t size, double divisor, const SampleShare& share,
                             const SampleUnit& unit, Communicator& comm, ThreadPool& pool,
                             const std::function<void()>& between = {});

// Collective. The saliency of a block's input channels: the maximum over samples of units [size]
// float64 for Saliency::max, their sum divided by `tokens` for Saliency::mean; [size] float32. Each
// replica sends its partial sums whole: they are vectors, not as large as a weight.
at::Tensor saliency_over_samples(Saliency kind, int64_t size, double tokens,
                                 const SampleShare& share, const SampleUnit& unit,
                                 Communicator& comm, ThreadPool& pool,
                                 const std::function<void()>& between);

}  // namespace bitmill
