#pragma once
// What tuning has reached after each epoch. Decides which epoch is kept, and when tuning ends.

#include <vector>

namespace bitmill {

inline constexpr int usual_patience = 2;  // epochs without gain

// Divergences from the teacher in nats per token, means over windows. Infinite where an epoch
// diverged: the divergence of a step is not finite, or a scale does not fit float16. No epoch
// follows such an epoch. The divergence of the model as given is finite.
struct TuningHistory {
  std::vector<float> train_kl;     // of every finished epoch: the mean over its own steps
  std::vector<float> held_out_kl;  // before the first epoch, and after every finished one

  int epochs() const { return static_cast<int>(train_kl.size()); }
  // The number of epochs after which the held-out divergence was least; the smallest one if several
  // are equal. 0: nothing was gained.
  int best() const;
  // True when the last epoch diverged.
  bool diverged() const;
  // True after most_epochs, when the last `patience` epochs gained nothing, or when the last one
  // diverged.
  bool has_ended(int most_epochs, int patience) const;
};

}  // namespace bitmill
