#pragma once
// Windows of token ids: the samples of calibration and evaluation.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/token_text.hpp"

namespace bitmill {

struct Windows {
  int64_t count = 0;
  int64_t seq_len = 0;
  std::vector<int32_t> ids;         // [count, seq_len]
  std::optional<int32_t> bos = {};  // that every window was made to begin with (window_bos.hpp)

  std::span<const int32_t> window(int64_t i) const;
  // Hash of count, seq_len and ids: part of a run's fingerprint.
  std::string hash() const;
};

// `count` windows of `seq_len` tokens. From a text: at random positions, which follow from the seed
// (uniform; windows may overlap). From a two-dimensional token file: its first rows, each cut to
// its first seq_len tokens. UsageError when the text is shorter than one window, or the file has
// fewer or shorter windows than asked for; it names the figures and the options to change.
Windows calibration_windows(const Tokens& tokens, int64_t count, int64_t seq_len, uint64_t seed);

// The same, but the last `held_out` windows are for comparison: the other windows hold none of
// their tokens. A text is cut in two: held-out windows are drawn from the part at its end, the
// others from the part before it. The end part is held_out / count of the text, but at least one
// window long. From a file, the last ones of the first `count` rows are held out. UsageError also
// when a text is shorter than two windows. REQUIRES: 0 < held_out < count.
Windows parted_windows(const Tokens& tokens, int64_t count, int64_t held_out, int64_t seq_len,
                       uint64_t seed);

// Puts the first `count` windows into an order that follows from the seed; the windows behind them
// stay where they are. REQUIRES: 0 <= count <= windows.count.
void shuffle_windows(Windows& windows, int64_t count, uint64_t seed);

// floor(tokens / seq_len) consecutive windows (METHOD.md, "Evaluation"), or the rows of a
// two-dimensional file cut to seq_len; at most max_windows where that is > 0.
Windows evaluation_windows(const Tokens& tokens, int64_t seq_len, int64_t max_windows);

}  // namespace bitmill
