#pragma once
// How much memory this process took at most.

#include <cstdint>

#include "comm/communicator.hpp"

namespace bitmill {

// Resident, in bytes, since the process began; 0 when the system does not say.
int64_t peak_memory_bytes();

// Collective: the largest of all ranks.
int64_t largest_peak_memory(Communicator& comm);

}  // namespace bitmill
