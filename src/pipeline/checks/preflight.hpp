#pragma once
// The checks of `quantize`, and what they found: read once, and all that the job is begun with.

#include "base/problems.hpp"
#include "model/source_model.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/checks/folders_check.hpp"
#include "pipeline/job/quantize_forecast.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// What check_quantize() found. Holds the model's files open: a folder that is replaced afterwards
// is still read as it was.
struct CheckedQuantize {
  QuantizeOptions options;  // resolved
  QuantizeForecast forecast;
  SourceModel model;        // headers; weights are read, and hashed, as the job comes to them
  Calibration calibration;  // all of it: nobody reads the text again
};

// Checks everything that can be checked before the long work; touches nothing. All ranks call it;
// it does not communicate. Throws UsageError, FormatError, FileError with all problems found, one
// per line.
//
// Time may pass between this and quantize(), which therefore looks again at what others can change
// meanwhile: whether the output folder is still empty, or a result of this very configuration
// (check_output()), and, with its claim in hand, at the work folder (RunSession::open()).
CheckedQuantize check_quantize(const QuantizeOptions& options, Files& files, int ranks,
                               int threads);

// Its parts, in this order; check_output() and check_folders() come after them.
void check_settings(const QuantizeOptions& options, Problems& problems);
// Opens the model, reads the calibration, and forecasts. Stops at the first error. REQUIRES: the
// lag is resolved, and check_settings() has nothing to say.
CheckedQuantize open_quantize(const QuantizeOptions& options, Files& files, int ranks, int threads);
JobFolders job_folders(const QuantizeOptions& options, const QuantizeForecast& forecast);

// What a rank takes before it has read anything: libtorch, MPI and the heap's reserve. Measured.
inline constexpr int64_t library_memory = int64_t{145} * 1000 * 1000;

// FormatError with every file of the model folder that the result takes over and cannot be read.
void check_companions(Files& files, const std::string& model_folder);
// UsageError when a step would take more samples than there are: as soon as their number is known.
void check_batch(const QuantizeOptions& options, int64_t samples);

}  // namespace bitmill
