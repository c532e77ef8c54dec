#pragma once
// What lanes of a warp do together, inside the emulator. kernels/tile.hpp and device_code.hpp are
// the kernels' side.

#include <cstddef>
#include <cstdint>
#include <source_location>

#include "tests/emulation/block/cuda_thread.hpp"

namespace bitmill::emulation {

class BlockRunner;

// What the lanes of a mask brought, as of one collective. Valid until the lane that asked comes to
// its next collective with the same mask.
struct Brought {
  const unsigned char* data;
  size_t stride;   // of lanes, in bytes
  uint32_t lanes;  // those that came

  const unsigned char* of(unsigned lane) const { return data + lane * stride; }
};

// Waits for all lanes of `mask` that have not returned. Fails where the current lane is not in the
// mask, or where lanes disagree about operation or mask. Orders no memory.
Brought meet(BlockRunner& runner, const char* operation, uint32_t mask, const void* mine,
             size_t bytes, const std::source_location& site);

// A lane of `warp` has returned: collectives that waited for nobody else are complete.
void complete_meetings(BlockRunner& runner, Warp& warp);

}  // namespace bitmill::emulation
