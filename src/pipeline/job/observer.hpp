#pragma once
// What a run of `quantize` tells while it works, to the console, the log and the tests.

#include <cstdint>
#include <string>
#include <vector>

#include "schedule/action.hpp"
#include "schedule/resume.hpp"

namespace bitmill {

// Where training is: the key of everything that is reported. Progress (checkpoint/run_state.hpp),
// the key of what is saved, counts finished epochs and steps instead.
struct Position {
  int block = 0;
  int turn = 0;
  int epoch = 0;     // counted over all turns of the block: turn * lag + epoch within the turn
  int64_t step = 0;  // within the epoch

  bool operator==(const Position&) const = default;
};

// Hears what happens, on every rank. Must not communicate with other ranks.
class Observer {
 public:
  virtual ~Observer() = default;
  // Called once, before the first action, when an earlier start has finished something.
  virtual void resumed(const std::vector<BlockDone>&) {}
  virtual void action_begins(const Action&) {}
  virtual void step_done(const Position&) {}
  // The epoch is finished and saved. The position is the one given to finish_epoch().
  virtual void epoch_done(const Position&, double /*loss*/) {}
  virtual void action_done(const Action&) {}
};

// Quality of one finished block.
struct BlockReport {
  int block = 0;
  double first_loss = 0;      // mean over samples, first epoch
  double last_loss = 0;       // last epoch
  double cosine = 0;          // of student and teacher outputs: mean over all tokens
  double relative_error = 0;  // |student - teacher| / |teacher|, Frobenius over all samples
  double bits_per_weight = 0;
};
// A block is marked in reports when its cosine is below this: then half of the output's direction
// is lost.
inline constexpr double bad_block_cosine = 0.5;

// Hears what happens, on every rank.
class QuantizeObserver : public Observer {
 public:
  virtual void block_packed(const BlockReport&) {}
  // A long piece of work outside of the blocks begins: "hashing the model", "writing the packed
  // model", "reading it back".
  virtual void phase_begins(const std::string&) {}
};

// One link of a chain of observers: passes on every call that a derived class does not override.
class ForwardingObserver : public QuantizeObserver {
 public:
  // `next` outlives this observer.
  explicit ForwardingObserver(QuantizeObserver& next) : next_(next) {}

  void resumed(const std::vector<BlockDone>& done) override { next_.resumed(done); }
  void action_begins(const Action& action) override { next_.action_begins(action); }
  void step_done(const Position& at) override { next_.step_done(at); }
  void epoch_done(const Position& at, double loss) override { next_.epoch_done(at, loss); }
  void action_done(const Action& action) override { next_.action_done(action); }
  void block_packed(const BlockReport& report) override { next_.block_packed(report); }
  void phase_begins(const std::string& phase) override { next_.phase_begins(phase); }

 private:
  QuantizeObserver& next_;
};

}  // namespace bitmill
