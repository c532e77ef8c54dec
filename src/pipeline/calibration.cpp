#include "pipeline/calibration.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "data/token_text.hpp"

namespace bitmill {
namespace {

constexpr int64_t longest_default = 2048;  // the published method's

}  // namespace

Calibration read_calibration(const QuantizeOptions& options, Files& files,
                             const ModelConfig& config) {
  const Tokens tokens = read_tokens(files, options.calib, options.model, config.vocab_size);
  int64_t seq_len = options.seq_len;
  if (seq_len == 0) {
    seq_len = tokens.is_windows() ? tokens.window_len : std::min(longest_default, config.context);
  }
  BITMILL_CHECK(seq_len <= config.context, UsageError,
                fmt::format("samples of {} tokens are longer than the model's context of {}: "
                            "choose --seq-len {} or less",
                            seq_len, config.context, config.context));
  const bool all_rows = tokens.is_windows() && !options.samples_by_hand;
  const int64_t samples = all_rows ? std::min(options.samples, tokens.windows) : options.samples;
  return {static_cast<int64_t>(tokens.ids.size()),
          calibration_windows(tokens, samples, seq_len, options.seed)};
}

QuantizeOptions resolve_lag(QuantizeOptions options) {
  if (options.lag == 0) options.lag = options.epochs;
  return options;
}

}  // namespace bitmill
