#pragma once
// What a rank holds at most, and whether that is more than it may: the one model of memory that
// `plan`, --dry-run and the checks before a run share.

#include <cstdint>
#include <string>

#include "schedule/simulate.hpp"

namespace bitmill {

// Of streams of so many bytes: what stays in memory, and what goes to the scratch folder.
int64_t streams_in_memory(const PlanCosts& costs, int64_t stream_bytes);
int64_t streams_in_scratch(const PlanCosts& costs, int64_t stream_bytes);

// Of a rank that has work, with so many bytes of streams in memory and scratch. `assembles`: it is
// rank 0, which puts the result together when all is trained, in what that has freed, with the
// headers of the result on top.
int64_t rank_peak_bytes(const PlanCosts& costs, int64_t stream_bytes, bool assembles);

// Empty when no rank needs more than `limit` bytes, or `limit` is 0; otherwise, in words, the first
// stage that does, with its figures. find_fault() of plan.hpp asks about everything but memory.
std::string find_memory_fault(const Simulation& simulation, int64_t limit);

}  // namespace bitmill
