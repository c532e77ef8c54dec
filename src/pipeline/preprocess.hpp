#pragma once
// The third job: restorative LoRA (METHOD.md, "Preprocessing"). Adapters of a packed base are
// trained on a text, end to end, and base and adapters are written as one ordinary 16-bit model,
// which is then quantized in the place of the original.

#include <cstdint>
#include <string>

#include "base/files.hpp"
#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "pipeline/checks/preprocess_check.hpp"
#include "pipeline/job/preprocess_job.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

// Collective. Compares what no rank can see alone, like compare_ranks() of quantize.hpp.
// preprocess() does it, too, when it has read the text.
void compare_ranks(const CheckedPreprocess& checked, Files& files, Communicator& comm,
                   const Device& device, const std::string& host);

struct PreprocessResult {
  bool already_done = false;  // the folder held the finished result of exactly this configuration
  PreprocessHistory history;  // empty where already_done
  int64_t result_bytes = 0;   // safetensors files
  double state_seconds = 0;   // rank 0's, of writing state into the run folder
};

// Collective. Reads the text once, and makes its index, also where the result is there; then
// trains. Throws AgreedStop when the ranks left at a safe point: the run folder then holds
// everything that the next start needs. The bytes of the result do not depend on ranks, stages or
// threads. UsageError, on every rank, when the ranks have different models or texts, when the base
// was made from another model, or when output folder or run folder belong to another configuration.
//
// `device` is what checked.options.backend and dtype ask for. `checked` was made by this rank, for
// the numbers of ranks and threads that there are here. All arguments outlive the call.
PreprocessResult preprocess(const CheckedPreprocess& checked, Files& files, Communicator& comm,
                            const Device& device, PreprocessObserver& observer,
                            const RunControl& control);

}  // namespace bitmill
