#include "schedule/rank_memory.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace bitmill {

int64_t streams_in_memory(const PlanCosts& costs, int64_t stream_bytes) {
  return costs.stream_memory > 0 ? std::min(costs.stream_memory, stream_bytes) : stream_bytes;
}

int64_t streams_in_scratch(const PlanCosts& costs, int64_t stream_bytes) {
  return stream_bytes - streams_in_memory(costs, stream_bytes);
}

int64_t rank_peak_bytes(const PlanCosts& costs, int64_t stream_bytes, bool assembles) {
  const int64_t training =
      streams_in_memory(costs, stream_bytes) + std::max(costs.resident_bytes, costs.loaded_bytes);
  if (!assembles) return costs.fixed_bytes + training;
  // Headers are many small allocations. They do not all fit into what the training has freed.
  return costs.fixed_bytes + std::max(training, costs.assembly_bytes) + costs.header_bytes;
}

std::string find_memory_fault(const Simulation& simulation, int64_t limit) {
  if (limit <= 0) return "";
  for (size_t stage = 0; stage < simulation.stages.size(); ++stage) {
    const SimulatedStage& one = simulation.stages[stage];
    if (one.peak_bytes <= limit) continue;
    return fmt::format(
        "a rank of stage {} needs {} bytes with streams of {} bytes, in memory or scratch, and may "
        "use {}",
        stage, one.peak_bytes, one.peak_stream_bytes, limit);
  }
  return "";
}

}  // namespace bitmill
