#pragma once
// Reads the calibration of a job, as its options say, and cuts it into windows.

#include "data/windows.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

struct Calibration {
  int64_t text_tokens = 0;
  Windows windows;
  int64_t held_out = 0;  // how many of the windows are held out: the last ones
};

// What windows are cut from, and how. The fields mean the same as in QuantizeOptions.
struct CalibrationSource {
  std::string calib;
  std::string model;  // whose tokenizer reads the text
  int64_t samples = 0;
  bool samples_by_hand = true;
  int64_t seq_len = 0;
  uint64_t seed = 0;
  ExactRatio held_out = {};  // above 0: ratio of the windows held out, at least one
};

// Tokens of a window where nobody says how many: min(2048, the model's context).
int64_t default_seq_len(const ModelConfig& config);

// Reads `calib` and cuts it into windows. A window has seq_len tokens; by default as many as a row
// of a two-dimensional token file has, else min(2048, the model's context). UsageError when that is
// longer than the context, or when there is only one window and some are to be held out.
Calibration read_calibration(const CalibrationSource& source, Files& files,
                             const ModelConfig& config);
Calibration read_calibration(const QuantizeOptions& options, Files& files,
                             const ModelConfig& config);

}  // namespace bitmill
