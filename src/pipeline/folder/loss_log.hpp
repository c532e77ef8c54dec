#pragma once
// The losses of a run of `tune` or `preprocess`, as its log has them.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

// What was measured after an epoch of `tune`, or a part of `preprocess`; in nats per token.
struct LossPoint {
  int64_t at = 0;                  // epochs, or steps where the log has them, that were done
  std::optional<double> loss;      // of the training since the point before; none at the start
  std::optional<double> held_out;  // of the text that is held out
};

struct LossLog {
  bool counts_steps = false;      // else epochs
  std::vector<LossPoint> points;  // in the order of the training; each place once
};

// Empty where nothing was logged. Of an epoch that was trained again the last line counts. Lines
// that are damaged, and those of single blocks, are passed over.
LossLog read_loss_log(Files& files, const std::string& work_dir);

}  // namespace bitmill
