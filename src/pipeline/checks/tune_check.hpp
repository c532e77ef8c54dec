#pragma once
// The checks of `tune`, and what they found: read once, and all that the job is begun with.

#include <string>

#include "checkpoint/run_state.hpp"
#include "data/windows.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/tune_job.hpp"

namespace bitmill {

// What check_tune() found. Holds the files of both models open: a folder that is replaced
// afterwards is still read as it was.
struct CheckedTune {
  TuneOptions options;
  TuneForecast forecast;
  SourceModel model;    // packed
  TensorHashes hashes;  // of all tensors of the packed model
  SourceModel teacher;  // the reference: headers; tune() hashes its weights
  Windows windows;      // those that are held out are the last ones
};

// Checks everything that can be checked before the work; touches nothing. All ranks call it; it
// does not communicate. UsageError or FormatError with all problems that were found.
//
// Verifies the packed folder, reading every tensor once. Every rank reads all of it: hosts may have
// copies of their own, and a dry run refuses a damaged one, too.
//
// tune() looks again at what others can change meanwhile: the output folder (check_output()), and,
// with its claim in hand, the work folder (RunSession::open()).
CheckedTune check_tune(const TuneOptions& options, Files& files, int ranks, int threads);

}  // namespace bitmill
