#pragma once
// The saliency of a block's input channels over all calibration samples, in the fixed tree. Each
// replica sends its partial sums whole: they are vectors, not as large as a weight (sample_mean.hpp
// has those).

#include <ATen/core/Tensor.h>

#include <functional>

#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "method/settings.hpp"
#include "pipeline/sums/sample_share.hpp"

namespace bitmill {

// Collective. Maxima over samples for Saliency::max, sums divided by `tokens` for Saliency::mean,
// of what `unit` fills `statistics` (all of it, [size] float64) with for the own sample i; [size]
// float32 on every rank. `between`: see sum_own_positions().
at::Tensor saliency_over_samples(
    Saliency kind, int64_t size, double tokens, const SampleShare& share,
    const std::function<void(int64_t i, const at::Tensor& statistics)>& unit, Communicator& comm,
    ThreadPool& pool, const std::function<void()>& between);

}  // namespace bitmill
