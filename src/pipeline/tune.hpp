#pragma once
// The second job: the scales of a packed model, and its signs where they are learned, tuned end to
// end against the next-token distribution of the model it was made from (METHOD.md, "Tuning"). The
// result is a packed folder of the same tensors and bits, never worse than the given one on windows
// that are not trained on.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "pipeline/checks/tune_check.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/job/tune_job.hpp"
#include "pipeline/job/tuning_history.hpp"

namespace bitmill {

// Collective. Compares what no rank can see alone, like compare_ranks() of quantize.hpp. tune()
// calls this first.
std::vector<std::string> compare_ranks(const CheckedTune& checked, Files& files, Communicator& comm,
                                       const Device& device, const std::string& host);

struct TuneResult {
  bool already_done = false;  // the folder held the finished result of exactly this configuration
  TuningHistory history;      // empty where already_done
  double bits_per_weight = 0;
  int64_t packed_bytes = 0;  // safetensors files
  // Rank 0's: of writing state into the run folder, and of it those in which nothing was trained.
  double state_seconds = 0;
  double state_wait_seconds = 0;
};

// Collective. Throws AgreedStop when the ranks left at a safe point: the run folder then holds
// everything that the next start needs. The bytes of the result do not depend on ranks, stages or
// threads. UsageError, on every rank, when the ranks have checked different packed models.
//
// `device` is what checked.options.backend and dtype ask for. `checked` was made by this rank, for
// the numbers of ranks and threads that there are here. The output folder and the run folder are
// looked at again: see check_tune(). All arguments outlive the call.
TuneResult tune(const CheckedTune& checked, Files& files, Communicator& comm, const Device& device,
                TuneObserver& observer, const RunControl& control);

}  // namespace bitmill
