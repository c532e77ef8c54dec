#pragma once
// The only loop over steps and epochs. It trains anything: goes on where an earlier start ended,
// saves after every epoch, and leaves where the ranks agree to leave.

#include <cstdint>
#include <string>

#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {

// How far a training is, counted over its whole run. Steps beyond those of the finished epochs
// belong to an unfinished epoch.
struct StepsDone {
  int epochs = 0;
  int64_t steps = 0;

  bool operator==(const StepsDone&) const = default;
};

// What is trained: a turn of a block, or a whole model. All ranks that train it together make the
// same calls and get the same values. An implementation may communicate with these ranks in each
// call except name(), steps_per_epoch(), settle() and seconds_to_leave(). Epochs, and steps within
// an epoch, count from 0.
class Trained {
 public:
  virtual ~Trained() = default;

  // A name for messages: "block 3".
  virtual std::string name() const = 0;
  virtual int64_t steps_per_epoch() const = 0;  // at least 1
  // Asked when all earlier epochs are given to save_epoch(). False after the last epoch, and when
  // learning has ended early.
  virtual bool wants_epoch(int epoch) = 0;
  // Makes what the step needs and does not take part in its time, such as the outputs of a teacher
  // for many steps. May leave with StopControl::leave(), after it has saved what is done.
  virtual void prepare_step(int /*epoch*/, int64_t /*step*/) {}
  // Takes one step and tells the observers. Returns false where the epoch must end after this step.
  virtual bool take_step(int epoch, int64_t step) = 0;
  // Called after the last step of the epoch: measures what the epoch has reached.
  virtual void finish_epoch(int epoch) = 0;
  // The epoch before done.epochs is finished: takes the state after exactly the steps of `done` and
  // begins to commit it, with the epoch's line in the log; tells the observers. What is trained may
  // change after the call, while the state is still being written. States are committed in the
  // order of the calls. `seconds`: the time of the whole epoch. If earlier starts made some of its
  // steps, it is what the epoch would have taken without that.
  virtual void save_epoch(const StepsDone& done, double seconds) = 0;
  // Commits the state in the middle of an epoch. Returns when it and all before it are committed.
  virtual void save_steps(const StepsDone& done) = 0;
  // Asked between two steps: whether the state is to be saved here, though nobody leaves. The same
  // on all ranks.
  virtual bool wants_save() { return false; }
  // Returns when all that was saved is committed.
  virtual void settle() = 0;
  // Seconds that a stop may take on this rank in addition to the saving: what is under way is
  // committed first, and something may be kept for the next start.
  virtual double seconds_to_leave() const = 0;
};

// Collective over the ranks of `stop`. Trains from `done` on, until wants_epoch() says no. An epoch
// that ends early counts as a whole one. Leaves with StopControl::leave() (AgreedStop): between two
// steps, after it has saved them, or between two epochs; everything is committed then. It does not
// ask whether to leave before its own first step, nor after its last epoch: the caller asks, where
// it matters. When it returns, the last states may still be under way.
void train_steps(Trained& trained, const StepsDone& done, StopControl& stop);

}  // namespace bitmill
