#pragma once
// The most memory that a rank holds, and whether it is allowed to. `plan`, --dry-run and the checks
// before a run all use this model of memory.

#include <cstdint>
#include <string>

#include "schedule/simulate.hpp"

namespace bitmill {

// Of `stream_bytes` in all: the bytes that stay in memory, and those that go to the scratch folder.
int64_t streams_in_memory(const PlanCosts& costs, int64_t stream_bytes);
int64_t streams_in_scratch(const PlanCosts& costs, int64_t stream_bytes);

// The peak of a rank that has work. `stream_bytes`: of its streams, in memory and scratch together.
// `assembles`: it is rank 0, which assembles the result after training. It reuses the memory of the
// training for that, and holds the headers of the result in addition.
int64_t rank_peak_bytes(const PlanCosts& costs, int64_t stream_bytes, bool assembles);

// Empty when no rank needs more than `limit` bytes, or when `limit` is 0. Otherwise a sentence
// about the first stage that needs more, with its figures. find_fault() of plan.hpp checks
// everything but memory.
std::string find_memory_fault(const Simulation& simulation, int64_t limit);

}  // namespace bitmill
