#pragma once
// What tuning has reached, epoch by epoch: decides what is kept, and when it ends.

#include <vector>

namespace bitmill {

// Divergences from the teacher in nats per token, means over windows. Infinite where an epoch
// diverged: where a step's divergence is not finite, or a scale does not fit float16. No such epoch
// is followed by another, and the model as given has a finite one.
struct TuningHistory {
  std::vector<float> train_kl;     // of every finished epoch, over its own steps
  std::vector<float> held_out_kl;  // before the first epoch, and after every finished one

  int epochs() const { return static_cast<int>(train_kl.size()); }
  // Epochs after which the held-out divergence was least; the first of equals. 0: nothing gained.
  int best() const;
  // The last epoch did.
  bool diverged() const;
  // After the last epoch, or when two have gained nothing, or one diverged.
  bool has_ended(int most_epochs) const;
};

}  // namespace bitmill
