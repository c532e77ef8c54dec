#pragma once
// How much memory this machine can still give.

#include <cstdint>

namespace bitmill {

// Bytes that processes here can take without swapping, as the kernel estimates it, and no more than
// the limit of this process' control group; 0 when the system does not say.
int64_t available_memory_bytes();

}  // namespace bitmill
