#pragma once
// The checks of a run, and what they found: read once, used by the run.

#include "model/source_model.hpp"
#include "pipeline/calibration.hpp"
#include "pipeline/quantize.hpp"

namespace bitmill {

struct CheckedRun {
  QuantizePlan plan;
  SourceModel model;
  Calibration calibration;
};

// As plan_quantize(), for options whose lag is resolved.
CheckedRun check_run(const QuantizeOptions& options, Files& files, int ranks, int threads);

}  // namespace bitmill
