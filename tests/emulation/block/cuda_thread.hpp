#pragma once
// The state of a block that runs: its CUDA threads, its warps, and who waits for whom.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <vector>

#include "tests/emulation/block/grid.hpp"
#include "tests/emulation/block/stack.hpp"

namespace bitmill::emulation {

inline constexpr unsigned lanes_per_warp = 32;
inline constexpr size_t most_brought = 32;  // bytes that a lane can bring to a collective

// A cp.async that has been issued: the bytes arrive when the thread waits for it.
struct LateCopy {
  void* to;
  const void* from;
  size_t bytes;
  unsigned group;
};

struct Warp;

// What every switch touches comes first: one line of the cache.
struct alignas(64) CudaThread {
  Resume resume = nullptr;  // null: has not begun
  Warp* warp = nullptr;
  unsigned lane = 0;
  unsigned number = 0;             // in its block, x first
  const char* waits_in = nullptr;  // the barrier or collective, where it waits for one
  std::source_location site;       // of that call
  uint64_t epoch = 1;              // barriers and collectives that it has come to, and one

  Index index;
  bool returned = false;
  int silent = 0;  // while it is not 0, accesses are the emulator's own
  Stack* stack = nullptr;
  void* fiber = nullptr;  // ThreadSanitizer's
  std::vector<LateCopy> copies;
  unsigned copy_group = 0;  // the group that the next commit closes
};

// The lanes of one mask on their way through a collective.
struct Meeting {
  uint32_t mask = 0;
  uint32_t arrived = 0;
  const char* operation = nullptr;
  // Two buffers in turn: a lane can only fill one again when all have left it.
  unsigned turn = 0;
  uint32_t came[2] = {};
  alignas(64) unsigned char brought[2][lanes_per_warp * most_brought] = {};
};

struct Warp {
  CudaThread* lanes = nullptr;  // the first of its 32
  unsigned number = 0;          // in its block
  uint32_t runnable = 0;        // lanes that wait for nothing but their turn
  uint32_t alive = 0;           // lanes that exist and have not returned
  unsigned used = 0;            // meetings[0, used) belong to this block
  std::vector<std::unique_ptr<Meeting>> meetings;

  Meeting& meeting(uint32_t mask) {
    if (used > 0 && meetings[0]->mask == mask) return *meetings[0];
    return another_meeting(mask);
  }
  Meeting& another_meeting(uint32_t mask);
};

// __syncthreads and its relatives.
struct BlockBarrier {
  const char* operation = nullptr;
  std::source_location site;
  CudaThread* first = nullptr;  // of those that have arrived
  unsigned arrived = 0;
  unsigned turn = 0;
  int votes = 0;
  int result[2] = {};
  std::unique_ptr<char[]> order;  // ThreadSanitizer's events, 8 bytes apart, one for each turn
};

}  // namespace bitmill::emulation
