#pragma once
// How much work a preprocessing is, and what it takes.

#include <cstdint>

#include "model/config.hpp"
#include "pipeline/job/preprocess_job.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

// Sizes of a job, from config.json alone. `base_bytes`: of the base's tensors; 0: estimated, with
// every linear packed. `threads`: of a rank. Fills all but corpus_bytes and notes; result_bytes is
// for 16 bits a weight.
PreprocessForecast forecast_preprocess(const PreprocessOptions& options, const ModelConfig& config,
                                       int64_t base_bytes, const Mesh& mesh, int threads);

}  // namespace bitmill
