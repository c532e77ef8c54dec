#include "pipeline/calibration.hpp"

#include <algorithm>

#include "data/token_text.hpp"

namespace bitmill {
namespace {

constexpr int64_t longest_default = 2048;  // the published method's

}  // namespace

Calibration read_calibration(const CalibrationSource& source, Files& files,
                             const ModelConfig& config) {
  const Tokens tokens = read_tokens(files, source.calib, source.model, config.vocab_size);
  int64_t seq_len = source.seq_len;
  if (seq_len == 0) {
    seq_len = tokens.is_windows() ? tokens.window_len
                                  : std::min(longest_default, longest_sequence(config));
  }
  check_sequence_length(config, source.model, seq_len);
  const bool all_rows = tokens.is_windows() && !source.samples_by_hand;
  const int64_t samples = all_rows ? std::min(source.samples, tokens.windows) : source.samples;
  return {static_cast<int64_t>(tokens.ids.size()),
          calibration_windows(tokens, samples, seq_len, source.seed)};
}

Calibration read_calibration(const QuantizeOptions& options, Files& files,
                             const ModelConfig& config) {
  return read_calibration({options.calib, options.model, options.samples, options.samples_by_hand,
                           options.seq_len, options.seed},
                          files, config);
}

QuantizeOptions resolve_lag(QuantizeOptions options) {
  if (options.lag == 0) options.lag = options.epochs;
  return options;
}

}  // namespace bitmill
