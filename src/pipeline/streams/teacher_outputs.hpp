#pragma once
// The outputs of the teacher's last block: all that is kept of its next-token distributions.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "data/windows.hpp"
#include "device/device.hpp"
#include "model/sample_stream.hpp"
#include "model/source_model.hpp"
#include "pipeline/ranks/mesh_rank.hpp"

namespace bitmill {

// Collective over the mesh. `own`: the windows of this rank's replica; the result has their outputs
// in this order. They are computed on the device. The result is on the last stage, and null
// elsewhere. The stages share the work: each computes every stages-th window, block by block.
// `block_done` is called on every rank after every block.
std::unique_ptr<SampleStream> teacher_outputs(const SourceModel& teacher, const Windows& windows,
                                              std::span<const int64_t> own, MeshRank& rank,
                                              StreamBudget& budget, const Device& device,
                                              const std::function<void()>& block_done);

}  // namespace bitmill
