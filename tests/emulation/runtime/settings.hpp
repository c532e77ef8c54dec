#pragma once
// What the environment says about the emulated machine. Read once, at the first call.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitmill::fake_cuda {

// "cudaMalloc:3:cudaErrorMemoryAllocation": the third call of this name fails so.
struct Failure {
  std::string call;
  uint64_t nth;
  std::string error;  // empty: the error that fits the call
};

// "rank:nth": the nth operation, from 1, of this rank of a communicator.
struct RankOperation {
  int rank;
  int nth;  // 0: while it connects; -1: in ncclCommAbort
};

struct Settings {
  // Physical numbers of the devices that the process sees, in its order: BITMILL_EMULATION_DEVICES
  // (how many the machine has, default 2), then CUDA_VISIBLE_DEVICES.
  std::vector<int> devices;
  // BITMILL_EMULATION_MEMORY: bytes of each device, default 4 GiB.
  size_t memory;
  // BITMILL_EMULATION_DELAY_US: how long a task of a stream rests before it runs, unless something
  // waits for it. Default 0.
  uint64_t delay_us;
  // BITMILL_EMULATION_SEED: 0, the default, lets every task rest as long as delay_us says; any
  // other number draws each rest from 0 to delay_us, and the order in which branches of a graph
  // run.
  uint64_t seed;
  // BITMILL_EMULATION_FAIL: failures, separated by commas.
  std::vector<Failure> failures;
  // BITMILL_EMULATION_LEAKS: what is left at exit is reported ("report"), and ends the process with
  // status 66 ("fail"). Default: neither.
  bool report_leaks;
  bool fail_on_leaks;
  // BITMILL_EMULATION_NCCL_DIE, _STALL: the process of this rank ends at this operation; the rank
  // never performs it.
  std::optional<RankOperation> nccl_dies, nccl_stalls;
  // BITMILL_EMULATION_NCCL_SILENT: nobody is told that a peer is gone.
  bool nccl_silent;
};

// A value that is not understood ends the process with a message: a test with a misspelt setting
// must not pass.
const Settings& settings();

}  // namespace bitmill::fake_cuda
