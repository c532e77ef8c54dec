#pragma once
// From options to the windows that a run works on.

#include "data/windows.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

struct Calibration {
  int64_t text_tokens = 0;
  Windows windows;
  int64_t held_out = 0;  // of the windows, the last ones
};

// What windows are cut from, and how: as QuantizeOptions has it.
struct CalibrationSource {
  std::string calib;
  std::string model;  // whose tokenizer reads a text
  int64_t samples = 0;
  bool samples_by_hand = true;
  int64_t seq_len = 0;
  uint64_t seed = 0;
  ExactRatio held_out = {};  // where above 0, this share of the windows, but at least one
};

// Reads and cuts calib. The sequence length is seq_len, or by default the rows of
// a two-dimensional token file, else min(2048, the model's context). UsageError when it is longer
// than the context, or when one window is all there is and some are to be held out.
Calibration read_calibration(const CalibrationSource& source, Files& files,
                             const ModelConfig& config);
Calibration read_calibration(const QuantizeOptions& options, Files& files,
                             const ModelConfig& config);

}  // namespace bitmill
