#pragma once
// The checks of `preprocess`, and what they found. The job works with what was opened and read
// here.

#include "data/training_corpus.hpp"
#include "model/source_model.hpp"
#include "pipeline/checks/folders_check.hpp"
#include "pipeline/job/preprocess_job.hpp"

namespace bitmill {

// What check_preprocess() found. It keeps the files of both models open: when a folder is replaced
// afterwards, the job still reads the old files.
struct CheckedPreprocess {
  PreprocessOptions options;
  PreprocessForecast forecast;
  SourceModel base;      // packed
  TensorHashes hashes;   // of all its tensors
  SourceModel original;  // headers only; preprocess() hashes its weights
};

// Checks everything that can be checked before the work; touches nothing. Every rank calls it; it
// does not communicate. UsageError or FormatError with all problems found.
//
// Verifies the packed folder: reads every tensor once, on every rank. Of the corpus it looks at
// names, sizes and the first MiB of each file. That the texts are sound, and the output folder is
// of this very text, preprocess() finds out when it has read them.
CheckedPreprocess check_preprocess(const PreprocessOptions& options, Files& files, int ranks,
                                   int threads);

// The same before there is a base: without options.packed, and without what needs it. For a job
// that makes the base first. The memory is that of a base in which every linear is packed.
PreprocessForecast check_before_base(const PreprocessOptions& options, Files& files, int ranks,
                                     int threads);

// The forecast for any number of ranks, from config.json alone: looks at no weights, text or other
// folder, and options may lack these. The base is one in which every linear is packed. UsageError
// for settings that do not fit the model or the ranks.
PreprocessForecast check_shape(const PreprocessOptions& options, Files& files, int ranks,
                               int threads);

// How the corpus of the job is read. REQUIRES: the forecast is of these options.
CorpusOptions corpus_options(const PreprocessOptions& options, const PreprocessForecast& forecast,
                             const ModelConfig& config);

// The folders of the job, for check_folders().
JobFolders job_folders(const PreprocessOptions& options, const PreprocessForecast& forecast);

}  // namespace bitmill
