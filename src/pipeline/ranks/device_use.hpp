#pragma once
// How the ranks of a job use their GPUs together: who shares one, and how tensors travel.

#include <cstdint>
#include <functional>
#include <string>

#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/ranks/tensor_way.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

struct DeviceUse {
  TensorWay way;
  int64_t bytes = 0;  // of its device that this rank may use, as of DeviceShare
};

using Say = std::function<void(const std::string&)>;

// Collective. `note` gets a sentence for each GPU that ranks share, `say` how tensors travel.
DeviceUse device_use(Communicator& comm, const Mesh& mesh, const Device& device,
                     const RunControl& control, const Say& note, const Say& say);

}  // namespace bitmill
