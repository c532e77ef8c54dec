#pragma once
// The checks of `tune`, and what they found. The job works with what was opened and read here.

#include <string>

#include "checkpoint/run_state.hpp"
#include "data/windows.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/tune_job.hpp"

namespace bitmill {

// What check_tune() found. It keeps the files of both models open: when a folder is replaced
// afterwards, the job still reads the old files.
struct CheckedTune {
  TuneOptions options;
  TuneForecast forecast;
  SourceModel model;    // packed
  TensorHashes hashes;  // of all tensors of the packed model
  SourceModel teacher;  // the reference: headers only; tune() hashes its weights
  Windows windows;      // the last ones are held out; with a corpus, all
};

// Checks everything that can be checked before the work; touches nothing. Every rank calls it; it
// does not communicate. UsageError or FormatError with all problems found.
//
// Verifies the packed folder: reads every tensor once. Every rank reads all of it, because hosts
// may have copies of their own. So a dry run refuses a damaged folder, too.
//
// tune() looks again at what others can change meanwhile: check_output() at the output folder, and
// RunSession::open() at the run folder once it has the claim.
CheckedTune check_tune(const TuneOptions& options, Files& files, int ranks, int threads);

// The same before there is a packed model, for a chain that makes it first: all that needs the
// original alone. Of the forecast, blocks, windows, steps, epochs, the mesh and corpus_bytes are
// filled.
TuneForecast check_before_packed(const TuneOptions& options, Files& files, int ranks);

}  // namespace bitmill
