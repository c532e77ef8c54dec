#pragma once
// The main job: a 16-bit Hugging Face folder and a calibration text become a packed folder.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

// Collective. Compares what no rank can see alone. Throws UsageError, the same on every rank, with
// every problem, one per line: ranks would not do the same work (they have another binary, model,
// calibration, or kind of machine where that is not allowed), or the ranks of a host together do
// not fit into its memory, or a block does not fit into a rank's device. Returns the numerics
// classes of the ranks that have work. quantize() calls this first.
std::vector<std::string> compare_ranks(const CheckedQuantize& checked, Files& files,
                                       Communicator& comm, const Device& device,
                                       const std::string& host);

struct QuantizeResult {
  bool already_done = false;  // the folder held the finished result of exactly this configuration
  std::vector<BlockReport> blocks;
  double bits_per_weight = 0;
  double bits_per_parameter = 0;
  int64_t source_bytes = 0;
  int64_t packed_bytes = 0;  // safetensors files
  // Rank 0's: of writing state and packed blocks into the run folder, and of it (or while it was
  // prepared) those in which nothing was trained.
  double state_seconds = 0;
  double state_wait_seconds = 0;
  // Bytes of the files of live blocks in the run folder, of all ranks, without headers: the largest
  // file, the forecast of its size, and all that this start wrote. 0 where it wrote none.
  int64_t state_bytes = 0;
  int64_t planned_state_bytes = 0;
  int64_t state_bytes_written = 0;
  // On GPUs: the most that tensors took on the device of a rank, and the forecast of it, with the
  // streams that there was room for. 0 on the CPU.
  int64_t device_peak_bytes = 0;
  int64_t planned_device_bytes = 0;
};

// Collective. Throws AgreedStop when the ranks left at a safe point: the run folder then holds
// everything that the next start needs. output_dir holds nothing until the result is whole and was
// read back.
//
// `device` is what checked.options.backend and dtype ask for. `checked` was made by this rank, for
// the numbers of ranks and threads that there are here. The output folder and the run folder are
// looked at again: see check_quantize(). All arguments outlive the call.
QuantizeResult quantize(const CheckedQuantize& checked, Files& files, Communicator& comm,
                        const Device& device, QuantizeObserver& observer,
                        const RunControl& control);

}  // namespace bitmill
