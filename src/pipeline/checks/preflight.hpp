#pragma once
// The checks of a run, and what they found: read once, used by the run.

#include "base/problems.hpp"
#include "model/source_model.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/job/quantize_forecast.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

struct CheckedRun {
  QuantizeForecast plan;
  SourceModel model;
  Calibration calibration;
};

// Checks everything that can be checked before the long work; touches nothing. All ranks may call
// it; it does not communicate. Throws UsageError, FormatError, FileError with all problems found,
// one per line.
QuantizeForecast plan_quantize(const QuantizeOptions& options, Files& files, int ranks,
                               int threads);

// As plan_quantize(), for options whose lag is resolved.
CheckedRun check_run(const QuantizeOptions& options, Files& files, int ranks, int threads);

// Its parts, in this order; check_output() and check_folders() come after them.
void check_settings(const QuantizeOptions& options, Problems& problems);
// Stops at the first error. REQUIRES: check_settings() has nothing to say.
CheckedRun plan_run(const QuantizeOptions& options, Files& files, int ranks, int threads);

// What a rank takes before it has read anything: libtorch, MPI and the heap's reserve. Measured.
inline constexpr int64_t library_memory = int64_t{145} * 1000 * 1000;

// FormatError with every file of the model folder that the result takes over and cannot be read.
void check_companions(Files& files, const std::string& model_folder);
// UsageError when a step would take more samples than there are: as soon as their number is known.
void check_batch(const QuantizeOptions& options, int64_t samples);

}  // namespace bitmill
