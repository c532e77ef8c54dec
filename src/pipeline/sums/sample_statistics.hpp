#pragma once
// Statistics over all calibration samples. Within a batch they are summed in the fixed tree, and
// the batches are added one after the other. `unit` fills all of the tensor that it gets for own
// sample i. `between` is that of sum_own_positions(). Every rank gets the results, on the host.

#include <ATen/core/Tensor.h>

#include <functional>

#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "method/settings.hpp"
#include "pipeline/ranks/replicas.hpp"
#include "pipeline/sums/sample_share.hpp"

namespace bitmill {

using SampleUnit = std::function<void(int64_t i, const at::Tensor& values)>;

// Collective. A mean of vectors that may be as large as a weight: the sum over samples of units
// ([size] float32, on the device), divided by `divisor`. Summed in slices.
at::Tensor mean_over_samples(int64_t size, double divisor, const SampleShare& share,
                             const SampleUnit& unit, const Replicas& replicas, const Device& device,
                             const std::function<void()>& between = {});

// Collective. The saliency of a block's input channels, [size] float32, from units [size] float64
// on the device.
// Saliency::max: their maximum over samples. Saliency::mean: their sum divided by `tokens`. Each
// replica sends its partial sums as a whole, because they are vectors and not as large as a weight.
at::Tensor saliency_over_samples(Saliency kind, int64_t size, double tokens,
                                 const SampleShare& share, const SampleUnit& unit,
                                 Communicator& comm, const Device& device,
                                 const std::function<void()>& between);

}  // namespace bitmill
