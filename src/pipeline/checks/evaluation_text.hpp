#pragma once
// The texts of an evaluation that must not be trained on, and calibration windows that hold some of
// them.

#include <string>

#include "base/files.hpp"
#include "data/corpus_overlap.hpp"
#include "data/windows.hpp"
#include "pipeline/job/preprocess_job.hpp"

namespace bitmill {

struct ReadEvaluation {
  EvaluationText text;
  std::string hash;  // of its tokens
};
// Reads options.evaluation as a whole. `vocabulary`: of options.model. Errors of read_tokens().
ReadEvaluation read_evaluation(const PreprocessOptions& options, Files& files, int64_t vocabulary);

// A sentence for the user about the windows of the base's --calib that share text with the
// evaluation; empty where none does.
std::string calibration_overlap(const Windows& windows, const EvaluationText& evaluation);

}  // namespace bitmill
