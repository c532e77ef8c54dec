#pragma once
// From options to what a run really works on: windows, lag, number of blocks.

#include "data/windows.hpp"
#include "model/source_model.hpp"
#include "pipeline/quantize.hpp"

namespace bitmill {

struct Calibration {
  int64_t text_tokens = 0;
  Windows windows;
};

// Reads and cuts options.calib. The sequence length is options.seq_len, or by default the rows of
// a two-dimensional token file, else min(2048, the model's context). UsageError when it is longer
// than the context.
Calibration read_calibration(const QuantizeOptions& options, Files& files,
                             const ModelConfig& config);

// lag 0 means epochs.
QuantizeOptions resolve_lag(QuantizeOptions options);

int64_t blocks_to_pack(const QuantizeOptions& options, const SourceModel& model);

}  // namespace bitmill
