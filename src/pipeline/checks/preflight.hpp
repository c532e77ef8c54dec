#pragma once
// The checks of `quantize`, and what they found. The job works with what was opened and read here,
// so nothing is read twice.

#include "base/problems.hpp"
#include "model/source_model.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/checks/folders_check.hpp"
#include "pipeline/job/quantize_forecast.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// What check_quantize() found. It keeps the model's files open: when the folder is replaced
// afterwards, the job still reads the old files.
struct CheckedQuantize {
  QuantizeOptions options;  // resolved
  QuantizeForecast forecast;
  SourceModel model;        // headers only; the job reads and hashes weights when it needs them
  Calibration calibration;  // all of it; the text is not read again
};

// Checks everything that can be checked before the long work; touches nothing. Every rank calls it;
// it does not communicate. Throws UsageError, FormatError or FileError with all problems found, one
// per line.
//
// Time may pass between this and quantize(). So quantize() looks again at what others can change
// meanwhile: check_output() looks whether the output folder is still empty, or holds the result of
// exactly this configuration; RunSession::open() looks at the run folder once it has the claim.
CheckedQuantize check_quantize(const QuantizeOptions& options, Files& files, int ranks,
                               int threads);

// The parts of check_quantize(), in this order; check_output() and check_folders() come after them.
void check_settings(const QuantizeOptions& options, Problems& problems);
// Opens the model, reads the calibration, and makes the forecast. Stops at the first error.
// REQUIRES: the lag is resolved, and check_settings() finds nothing.
CheckedQuantize open_quantize(const QuantizeOptions& options, Files& files, int ranks, int threads);
// Replaces the costs in the options by those of the windows that were read: a planner that knew
// them before the calibration counts on the windows that were asked for.
void set_resume_costs(CheckedQuantize& checked, const ResumeCosts& costs);
JobFolders job_folders(const QuantizeOptions& options, const QuantizeForecast& forecast);

// Bytes that a rank needs before it has read anything: libtorch, MPI and the heap's reserve.
// Measured.
inline constexpr int64_t library_memory = int64_t{145} * 1000 * 1000;

// The same with a GPU: CUDA's libraries, and the buffers for copies. An estimate.
inline constexpr int64_t gpu_host_memory = int64_t{1} * 1000 * 1000 * 1000;

// Sets what a rank holds before it has work, and how wide its weights are, as the backend does it;
// a table of hardware describes a machine for any backend. With a GPU, memory_bytes becomes
// --device-memory-limit (0: none).
void hold_as_the_backend_does(const QuantizeOptions& options, Machine& machine);

// FormatError with every file that the result takes over from the model folder and that cannot be
// read.
void check_companions(Files& files, const std::string& model_folder);
// UsageError when a batch is larger than the number of samples. To be called as soon as that is
// known.
void check_batch(const QuantizeOptions& options, int64_t samples);

}  // namespace bitmill
