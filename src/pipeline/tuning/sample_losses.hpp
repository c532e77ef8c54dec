#pragma once
// Which samples a rank has in a training of the whole model, and the losses of all of them.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/sums/sample_share.hpp"

namespace bitmill {

// What the replica of this rank owns of `samples`, `batch` of them a step.
SampleShare share_of(const MeshRank& rank, int64_t samples, int64_t batch);

// Collective over the mesh. The losses of all samples in sample order, on every rank. `own`,
// float32 [share.own_count()], is read on the last stage only.
std::vector<float> gather_losses(MeshRank& rank, const SampleShare& share, const at::Tensor& own);

// The mean; infinite where it is not finite.
float mean_loss(const std::vector<float>& losses);

}  // namespace bitmill
