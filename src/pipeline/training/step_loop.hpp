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
// call except name() and steps_per_epoch(). Epochs, and steps within an epoch, count from 0.
class Trained {
 public:
  virtual ~Trained() = default;

  // A name for messages: "block 3".
  virtual std::string name() const = 0;
  virtual int64_t steps_per_epoch() const = 0;  // at least 1
  // Asked when all earlier epochs are saved. False after the last epoch, and when learning has
  // ended early.
  virtual bool wants_epoch(int epoch) = 0;
  // Takes one step and tells the observers. Returns false where the epoch must end after this step.
  virtual bool take_step(int epoch, int64_t step) = 0;
  // Called after the last step of the epoch: measures what the epoch has reached.
  virtual void finish_epoch(int epoch) = 0;
  // Commits the state after exactly the steps of `done`.
  virtual void save(const StepsDone& done) = 0;
  // Called when the epoch is finished and saved. `seconds`: the time of the whole epoch. If earlier
  // starts made some of its steps, it is what the epoch would have taken without that.
  virtual void epoch_saved(int epoch, double seconds) = 0;
};

// Collective over the ranks of `stop`. Trains from `done` on, until wants_epoch() says no. An epoch
// that ends early counts as a whole one. Leaves with StopControl::leave() (AgreedStop): between two
// steps, after it has saved them, or between two epochs. It does not ask whether to leave before
// its own first step, nor after its last epoch: the caller asks, where it matters.
void train_steps(Trained& trained, const StepsDone& done, StopControl& stop);

}  // namespace bitmill
