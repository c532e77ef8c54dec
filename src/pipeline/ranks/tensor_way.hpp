#pragma once
// How tensors travel between the ranks of a job: from GPU to GPU by NCCL where every rank has a GPU
// of its own, otherwise through the host's memory. The bytes that arrive are the same.

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

// What a rank says about itself.
struct RankOnGpu {
  std::string host;
  std::string identity;  // as of Device; empty: the rank computes on its host
  std::string nccl;      // the version of NCCL here; empty: built without
};

struct TensorWay {
  bool by_nccl = false;
  std::string words =
      {};  // which way, and why; empty where no tensor leaves a GPU for another rank
  const Device* device = nullptr;
  double patience_s = 150;  // as for NcclPatience
};

// Pure. `all`: the ranks with work, by rank. UsageError, with every host, where their versions of
// NCCL differ. Leaves `device` and `patience_s` as they are.
TensorWay choose_way(const std::vector<RankOnGpu>& all);
// Collective over `comm`; the same on every rank. `mesh` is within it.
TensorWay choose_way(Communicator& comm, const Mesh& mesh, const Device& device,
                     const std::string& host, double patience_s);

// On the device, beside what a rank computes with, where tensors go from it: samples of
// `sample_bytes` on their way in and out, what replicas exchange, and NCCL's own buffers.
int64_t travelling_bytes(const TensorWay& way, const Mesh& mesh, int64_t sample_bytes);

}  // namespace bitmill
