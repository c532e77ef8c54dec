#include "pipeline/checks/calibration.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "data/token_text.hpp"

namespace bitmill {
namespace {

int64_t count_held_out(const CalibrationSource& source, int64_t samples) {
  BITMILL_CHECK(samples >= 2, UsageError,
                fmt::format("the calibration {} has {} window, and at least 2 are needed, one of "
                            "which is held out: give a token file with more rows, or a text",
                            source.calib, samples));
  return std::max<int64_t>(1, source.held_out.floor_times(samples));
}

}  // namespace

int64_t default_seq_len(const ModelConfig& config) {
  constexpr int64_t published = 2048;  // tokens: METHOD.md, "Training"
  return std::min(published, longest_sequence(config));
}

Calibration read_calibration(const CalibrationSource& source, Files& files,
                             const ModelConfig& config) {
  const Tokens tokens = read_tokens(files, source.calib, source.model, config.vocab_size);
  int64_t seq_len = source.seq_len;
  if (seq_len == 0) {
    seq_len = tokens.is_windows() ? tokens.window_len : default_seq_len(config);
  }
  check_sequence_length(config, source.model, seq_len);
  const bool all_rows = tokens.is_windows() && !source.samples_by_hand;
  const int64_t samples = all_rows ? std::min(source.samples, tokens.windows) : source.samples;
  const auto text_tokens = static_cast<int64_t>(tokens.ids.size());
  if (source.held_out.numerator == 0) {
    return {text_tokens, calibration_windows(tokens, samples, seq_len, source.seed)};
  }
  const int64_t held_out = count_held_out(source, samples);
  return {text_tokens, parted_windows(tokens, samples, held_out, seq_len, source.seed), held_out};
}

Calibration read_calibration(const QuantizeOptions& options, Files& files,
                             const ModelConfig& config) {
  return read_calibration({options.calib, options.model, options.samples, options.samples_by_hand,
                           options.seq_len, options.seed},
                          files, config);
}

}  // namespace bitmill
