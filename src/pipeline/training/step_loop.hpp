#pragma once
// The only loop over steps and epochs. Whatever is trained goes on where an earlier start ended, is
// saved after every epoch, and is left where the ranks agree to.

#include <cstdint>
#include <string>

#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {

// How far a training has come over its whole run. Steps beyond those of the finished epochs belong
// to one that is under way.
struct StepsDone {
  int epochs = 0;
  int64_t steps = 0;

  bool operator==(const StepsDone&) const = default;
};

// What is trained: a turn of a block, a whole model. All ranks that train it together make the same
// calls and return the same values; an implementation may communicate with them in each call but
// name() and steps_per_epoch(). Epochs, and steps within their epoch, count from 0.
class Trained {
 public:
  virtual ~Trained() = default;

  // For people: "block 3".
  virtual std::string name() const = 0;
  virtual int64_t steps_per_epoch() const = 0;  // at least 1
  // Asked when all epochs before this one are saved. False after the last one, and where learning
  // has ended early.
  virtual bool wants_epoch(int epoch) = 0;
  // Takes one step and tells the observers. False where the epoch ends early, after this step.
  virtual bool take_step(int epoch, int64_t step) = 0;
  // After the last step: measures what the epoch has reached.
  virtual void finish_epoch(int epoch) = 0;
  // Commits the state after exactly these steps.
  virtual void save(const StepsDone& done) = 0;
  // The epoch is finished and saved. `seconds`: what all of it took, or would have taken if earlier
  // starts had made none of its steps.
  virtual void epoch_saved(int epoch, double seconds) = 0;
};

// Collective over the ranks of `stop`. Trains from `done` on until no epoch is wanted. An epoch
// that ends early counts as whole. Leaves by StopControl::leave() (AgreedStop) between two steps,
// after it has saved them, and between two epochs. It does not ask before its own first step nor
// after its last epoch: the caller does, where it matters.
void train_steps(Trained& trained, const StepsDone& done, StopControl& stop);

}  // namespace bitmill
