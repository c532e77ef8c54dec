#pragma once
// The main job: a 16-bit Hugging Face folder and a calibration text become a packed folder.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

// Collective. What no rank can see alone: UsageError, the same on every rank, when they would not
// do the same work (another binary, model, calibration, kind of machine unless that is allowed) or
// the ranks of a host do not fit into its memory together; all of it, a line each. Returns the
// numerics classes that there are. quantize() asks this first.
std::vector<std::string> compare_ranks(const CheckedQuantize& checked, Files& files,
                                       Communicator& comm, const std::string& host);

struct QuantizeResult {
  bool already_done = false;  // the folder held the finished result of this very configuration
  std::vector<BlockReport> blocks;
  double bits_per_weight = 0;
  double bits_per_parameter = 0;
  int64_t source_bytes = 0;
  int64_t packed_bytes = 0;  // safetensors files
  double state_seconds = 0;  // rank 0 spent writing state and packed blocks into the work folder
  // Files of live blocks in the work folder, of all ranks, headers aside: the largest of them, what
  // it was planned to be, and all that this start wrote. 0 where it wrote none.
  int64_t state_bytes = 0;
  int64_t planned_state_bytes = 0;
  int64_t state_bytes_written = 0;
};

// Collective. AgreedStop when the ranks left at a safe point: the run folder then holds everything
// that the next start needs. Nothing is left under output_dir unless it is whole and was read back.
//
// `checked` by this rank, for as many ranks and threads as there are here; looks again at what
// check_quantize() names. All arguments outlive the call.
QuantizeResult quantize(const CheckedQuantize& checked, Files& files, Communicator& comm,
                        ThreadPool& pool, QuantizeObserver& observer, const RunControl& control);

}  // namespace bitmill
