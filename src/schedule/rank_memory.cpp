#include "schedule/rank_memory.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace bitmill {

StreamTiers stream_tiers(const PlanCosts& costs, int64_t stream_bytes) {
  StreamTiers tiers;
  if (costs.own_device) {
    tiers.device = stream_bytes;
    if (stream_bytes > costs.device_stream_memory) {
      tiers.arriving = costs.arriving_bytes;
      tiers.device = std::max<int64_t>(0, costs.device_stream_memory - tiers.arriving);
    }
  }
  const int64_t rest = stream_bytes - tiers.device;
  tiers.memory = costs.stream_memory > 0 ? std::min(costs.stream_memory, rest) : rest;
  tiers.scratch = rest - tiers.memory;
  return tiers;
}

int64_t rank_peak_bytes(const PlanCosts& costs, int64_t stream_bytes, bool assembles) {
  const StreamTiers streams = stream_tiers(costs, stream_bytes);
  const int64_t block = std::max(costs.resident_bytes, costs.loaded_bytes);
  if (costs.own_device) return costs.fixed_bytes + block + streams.device + streams.arriving;
  const int64_t training = streams.memory + block;
  if (!assembles) return costs.fixed_bytes + training;
  // Headers are many small allocations. They do not all fit into what the training has freed.
  return costs.fixed_bytes + std::max(training, costs.assembly_bytes) + costs.header_bytes;
}

int64_t rank_host_bytes(const PlanCosts& costs, int64_t stream_bytes, bool assembles) {
  if (!costs.own_device) return rank_peak_bytes(costs, stream_bytes, assembles);
  return costs.host_bytes + stream_tiers(costs, stream_bytes).memory +
         (assembles ? costs.assembly_bytes + costs.header_bytes : 0);
}

std::string find_memory_fault(const Simulation& simulation, const PlanCosts& costs,
                              const MemoryLimits& limits) {
  for (size_t stage = 0; stage < simulation.stages.size(); ++stage) {
    const SimulatedStage& one = simulation.stages[stage];
    if (costs.own_device && limits.device > 0 && one.peak_bytes > limits.device) {
      const bool trains = costs.resident_bytes >= costs.loaded_bytes;
      return fmt::format(
          "a rank of stage {} needs {} bytes of its device even with all streams elsewhere: {} for "
          "a block {}, the rest for libraries and for samples that arrive; it may use {}",
          stage, one.peak_bytes, std::max(costs.resident_bytes, costs.loaded_bytes),
          trains ? "that trains" : "before and after it trains", limits.device);
    }
    if (limits.host <= 0 || one.host_bytes <= limits.host) continue;
    return fmt::format(
        "a rank of stage {} needs {} bytes{} with streams of {} bytes, in memory or scratch, and "
        "may use {}",
        stage, one.host_bytes, costs.own_device ? " of its host" : "", one.peak_stream_bytes,
        limits.host);
  }
  return "";
}

}  // namespace bitmill
