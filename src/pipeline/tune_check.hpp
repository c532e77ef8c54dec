#pragma once
// What tune() is begun with: everything opened, everything checked.

#include <string>

#include "model/source_model.hpp"
#include "pipeline/calibration.hpp"
#include "pipeline/run_session.hpp"
#include "pipeline/tune.hpp"

namespace bitmill {

struct CheckedTune {
  TunePlan plan;
  SourceModel model;    // packed
  SourceModel teacher;  // the reference
  Windows windows;      // those that are held out are the last ones
};

WorkFolder work_folder(const TuneOptions& options);

// The errors of plan_tune().
CheckedTune check_tune(const TuneOptions& options, Files& files, int ranks, int threads);

}  // namespace bitmill
