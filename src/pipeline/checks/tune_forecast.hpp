#pragma once
// What a tuning learns, how much work it is, and what it takes.

#include "base/files.hpp"
#include "model/source_model.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/job/tune_job.hpp"

namespace bitmill {

// Fills the counts and sizes of a forecast, whose mesh is given; but not corpus_bytes, notes and
// the fingerprint. UsageError where options and calibration do not go together.
void forecast_tune(const TuneOptions& options, Files& files, const SourceModel& model,
                   const Calibration& calibration, int threads, TuneForecast& forecast);

// The part of it that needs no packed model: windows, steps, epochs, and groups of signs. The
// number of blocks is given.
void forecast_windows(const TuneOptions& options, const Calibration& calibration,
                      TuneForecast& forecast);

// The same from a config alone, before anything is packed: as if quantize had packed every linear
// with its usual share of salient columns, with options.samples windows; with learned signs, as if
// 4-bit scales were learned, too. UsageError as above.
TuneForecast plan_tune(const TuneOptions& options, const ModelConfig& config, const Mesh& mesh,
                       int threads);

}  // namespace bitmill
