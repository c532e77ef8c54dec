#pragma once
// The most memory that a rank holds, and whether it is allowed to. `plan`, --dry-run and the checks
// before a run all use this model of memory.

#include <cstdint>
#include <string>

#include "schedule/simulate.hpp"

namespace bitmill {

// Where `stream_bytes` of streams lie: on the device first, where it has memory of its own, then in
// the host's memory, the rest in the scratch folder.
struct StreamTiers {
  int64_t device = 0, memory = 0, scratch = 0;
  int64_t arriving = 0;  // on the device, of samples that come from elsewhere
};
StreamTiers stream_tiers(const PlanCosts& costs, int64_t stream_bytes);

// The peak of a rank that has work, where it computes. `stream_bytes`: of its streams, wherever
// they lie. `assembles`: it is rank 0, which assembles the result after training. It reuses the
// memory of the training for that, and holds the headers of the result in addition.
int64_t rank_peak_bytes(const PlanCosts& costs, int64_t stream_bytes, bool assembles);
// The same on its host; equal to rank_peak_bytes() where device and host are one memory.
int64_t rank_host_bytes(const PlanCosts& costs, int64_t stream_bytes, bool assembles);

// What a rank may use; 0: not limited.
struct MemoryLimits {
  int64_t host = 0;
  int64_t device = 0;  // where it has memory of its own
};

// Empty when no rank needs more than the limits. Otherwise a sentence about the first stage that
// needs more, with its figures. Streams are no reason on a device: they go to the host by
// themselves. find_fault() of plan.hpp checks everything but memory.
std::string find_memory_fault(const Simulation& simulation, const PlanCosts& costs,
                              const MemoryLimits& limits);

}  // namespace bitmill
