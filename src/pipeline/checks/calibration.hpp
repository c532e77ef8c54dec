#pragma once
// Reads the calibration of a job, as its options say, and cuts it into windows.

#include <optional>
#include <string>
#include <vector>

#include "data/window_bos.hpp"
#include "data/windows.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/tune_job.hpp"

namespace bitmill {

struct Calibration {
  int64_t text_tokens = 0;
  Windows windows;
  int64_t held_out = 0;  // how many of the windows are held out: the last ones
  // What the user should hear: see data/window_check.hpp and data/window_bos.hpp.
  std::vector<std::string> notes = {};
};

// What windows are cut from, and how. The fields mean the same as in QuantizeOptions.
struct CalibrationSource {
  std::string calib;
  std::string model;  // whose tokenizer reads the text
  int64_t samples = 0;
  bool samples_by_hand = true;
  int64_t seq_len = 0;
  uint64_t seed = 0;
  bool seed_by_hand = false;
  std::optional<uint64_t> shuffle_seed = {};
  WindowBos window_bos = WindowBos::off;
  std::string text_key = {};
  ExactRatio held_out = {};  // above 0: ratio of the windows held out, at least one
};
CalibrationSource calibration_source(const QuantizeOptions& options);
CalibrationSource calibration_source(const TuneOptions& options);

// Tokens of a window where nobody says how many: min(2048, the model's context).
int64_t default_seq_len(const ModelConfig& config);

// Reads `calib` and cuts it into windows. A window has seq_len tokens; by default as many as a row
// of a two-dimensional token file has, else min(2048, the model's context). Then the windows that
// are trained on are put into the order of shuffle_seed, and all get their BOS, where these are
// asked for.
//
// UsageError when a window is longer than the context; when there is only one and some are to be
// held out; and when the calibration is too small (check_enough_windows()).
Calibration read_calibration(const CalibrationSource& source, Files& files,
                             const ModelConfig& config);

}  // namespace bitmill
