#pragma once
// What people see of a long run. On a terminal: one line that is rewritten. In a log: a line per
// turn of a block and, in long turns, one every half minute.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "cli/report/console.hpp"
#include "pipeline/job/observer.hpp"

namespace bitmill {

// Seconds since any fixed moment.
using Clock = std::function<double()>;
Clock steady_clock();

// Shows lines of progress. On a terminal it rewrites one line, no more often than people can read.
// In a log every line is a line of its own.
class ProgressLine {
 public:
  ProgressLine(Console& console, Clock clock);

  double now() const { return clock_(); }
  // The work that is shown begins now. A log gets its first due line half a minute later.
  void begin() { last_log_ = clock_(); }
  // True when a log has got no line for half a minute.
  bool is_due() const;
  // `line` makes the text; it is called only when the text is shown. `in_log`: print it in a log,
  // and show it at once on a terminal.
  void show(bool in_log, const std::function<std::string(double now)>& line);

 private:
  Console& console_;
  const Clock clock_;
  double last_update_ = 0;
  double last_log_ = 0;
};

struct QuantizeExtent {
  int64_t blocks = 0;
  int epochs = 0;
  int lag = 0;
  int64_t steps_per_epoch = 0;
  int stages = 1;  // rank 0 shows the progress of its own stage, which has every stages-th block
};

class QuantizeProgress : public QuantizeObserver {
 public:
  QuantizeProgress(Console& console, const QuantizeExtent& extent, Clock clock);

  void resumed(const std::vector<BlockDone>& done) override;
  void action_begins(const Action& action) override;
  void step_done(const Position& at) override;
  void epoch_done(const Position& at, double loss) override;
  void action_done(const Action& action) override;
  void phase_begins(const std::string& phase) override;

 private:
  std::string line(double now) const;
  void show(bool in_log);

  Console& console_;
  const QuantizeExtent extent_;
  ProgressLine shown_;
  std::optional<double> begin_;  // of the first action; the estimate leaves out what is before it
  int block_ = 0;
  int turn_ = 0;
  int epoch_ = 0;               // finished epochs of the block, over all its turns
  int64_t steps_done_ = 0;      // of this start
  int64_t steps_before_ = 0;    // of earlier starts
  std::optional<double> loss_;  // of the last finished epoch of this block
};

// "block 3/30 · 1.2 s/block · ETA 32 s", for work that goes once through the blocks, or through
// other equal parts.
class BlockProgress {
 public:
  BlockProgress(Console& console, std::string what, Clock clock, std::string unit = "block");
  void operator()(int64_t done, int64_t total);

 private:
  const std::string what_;
  const std::string unit_;
  ProgressLine shown_;
  const double begin_;
};

}  // namespace bitmill
