#pragma once
// What a walk through the stages begins and ends with, of this rank's own samples.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "method/next_token_divergence.hpp"
#include "model/sample_stream.hpp"

namespace bitmill {

// Samples are named by their own index in the SampleShare of the walk. Tensors are on the device.
class WalkEnds {
 public:
  virtual ~WalkEnds() = default;
  // Called on the first stage: the input of the first block, [T, hidden].
  virtual at::Tensor input(int64_t own) const = 0;
  // Called on the last stage: the loss of a sample whose last block gave `output` [T, hidden],
  // finite or not. When `gradient` is given, it becomes d loss / d output [T, hidden]. Safe from
  // several threads on a CPU.
  virtual double loss(int64_t own, const at::Tensor& output, at::Tensor* gradient) const = 0;
};

// Towards the outputs of a teacher: `divergence` from the stored `targets`. Own sample i is at
// first + i of the streams.
class DivergenceEnds final : public WalkEnds {
 public:
  // `inputs` (embeddings) is only needed on the first stage, `targets` (outputs of the teacher's
  // last block) and `divergence` on the last; the others may be null. All outlive this object.
  DivergenceEnds(const SampleStream* inputs, const SampleStream* targets,
                 const NextTokenDivergence* divergence, int64_t first, const Device& device)
      : inputs_(inputs),
        targets_(targets),
        divergence_(divergence),
        first_(first),
        device_(device) {}

  at::Tensor input(int64_t own) const override;
  double loss(int64_t own, const at::Tensor& output, at::Tensor* gradient) const override;

 private:
  const SampleStream* const inputs_;
  const SampleStream* const targets_;
  const NextTokenDivergence* const divergence_;
  const int64_t first_;
  const Device& device_;
};

}  // namespace bitmill
