#pragma once
// What tune() is begun with: everything opened, everything checked.

#include <string>

#include "data/windows.hpp"
#include "model/source_model.hpp"
#include "pipeline/folder/run_session.hpp"
#include "pipeline/job/tune_forecast.hpp"
#include "pipeline/job/tune_options.hpp"

namespace bitmill {

struct CheckedTune {
  TuneForecast plan;
  SourceModel model;    // packed
  SourceModel teacher;  // the reference
  Windows windows;      // those that are held out are the last ones
};

WorkFolder work_folder(const TuneOptions& options);

// Checks everything that can be checked before the work; touches nothing, does not communicate.
// UsageError or FormatError with all problems that were found. Verifies the packed folder, reading
// all of it.
TuneForecast plan_tune(const TuneOptions& options, Files& files, int ranks, int threads);

// The errors of plan_tune().
CheckedTune check_tune(const TuneOptions& options, Files& files, int ranks, int threads);

}  // namespace bitmill
