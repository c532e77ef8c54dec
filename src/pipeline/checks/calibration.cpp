#include "pipeline/checks/calibration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/error.hpp"
#include "data/token_text.hpp"
#include "data/window_check.hpp"

namespace bitmill {
namespace {

int64_t count_held_out(const CalibrationSource& source, int64_t samples) {
  BITMILL_CHECK(samples >= 2, UsageError,
                fmt::format("the calibration {} has {} window, and at least 2 are needed, one of "
                            "which is held out: give a token file with more rows, or a text",
                            source.calib, samples));
  return std::max<int64_t>(1, source.held_out.floor_times(samples));
}

// Scripts and recipes may give the seed with any calibration, so this is no error.
std::string idle_seed_note(const CalibrationSource& source) {
  return fmt::format(
      "--seed {} has no effect: {} holds ready windows, which are taken in their order; "
      "--shuffle-seed {} would change that order",
      source.seed, source.calib, source.seed);
}

// Cuts tokens into windows.
Calibration cut(const CalibrationSource& source, const Tokens& tokens, int64_t seq_len) {
  const bool all_rows = tokens.is_windows() && !source.samples_by_hand;
  const int64_t samples = all_rows ? std::min(source.samples, tokens.windows) : source.samples;
  const auto text_tokens = static_cast<int64_t>(tokens.ids.size());
  if (source.held_out.numerator == 0) {
    return {text_tokens, calibration_windows(tokens, samples, seq_len, source.seed)};
  }
  const int64_t held_out = count_held_out(source, samples);
  return {text_tokens, parted_windows(tokens, samples, held_out, seq_len, source.seed), held_out};
}

}  // namespace

CalibrationSource calibration_source(const QuantizeOptions& options) {
  return {options.calib,      options.model,   options.samples,      options.samples_by_hand,
          options.seq_len,    options.seed,    options.seed_by_hand, options.shuffle_seed,
          options.window_bos, options.text_key};
}

CalibrationSource calibration_source(const TuneOptions& options) {
  return {options.calib,      options.model,    options.samples,      options.samples_by_hand,
          options.seq_len,    options.seed,     options.seed_by_hand, options.shuffle_seed,
          options.window_bos, options.text_key, options.held_out};
}

int64_t default_seq_len(const ModelConfig& config) {
  constexpr int64_t published = 2048;  // tokens: METHOD.md, "Training"
  return std::min(published, longest_sequence(config));
}

Calibration read_calibration(const CalibrationSource& source, Files& files,
                             const ModelConfig& config) {
  const Tokens tokens =
      read_tokens(files, source.calib, source.model, config.vocab_size, source.text_key);
  int64_t seq_len = source.seq_len;
  if (seq_len == 0) {
    seq_len = tokens.is_windows() ? tokens.window_len : default_seq_len(config);
  }
  check_sequence_length(config, source.model, seq_len);
  Calibration calibration = cut(source, tokens, seq_len);
  Windows& windows = calibration.windows;
  check_enough_windows(tokens, windows);
  calibration.notes = calibration_notes(tokens, windows);
  if (source.seed_by_hand && tokens.is_windows()) {
    calibration.notes.push_back(idle_seed_note(source));
  }
  if (source.shuffle_seed) {
    shuffle_windows(windows, windows.count - calibration.held_out, *source.shuffle_seed);
  }
  if (const auto bos = choose_window_bos(source.window_bos, tokens, files, source.model)) {
    begin_windows_with(*bos, windows);
  } else if (const std::string note = missing_bos_note(tokens, windows); !note.empty()) {
    calibration.notes.push_back(note);
  }
  return calibration;
}

}  // namespace bitmill
