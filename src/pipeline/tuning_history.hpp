#pragma once
// What tuning has reached, epoch by epoch: decides what is kept, and when it ends.

#include <vector>

namespace bitmill {

// Divergences from the teacher in nats per token, means over windows.
struct TuningHistory {
  std::vector<float> train_kl;     // of every finished epoch, over its own steps
  std::vector<float> held_out_kl;  // before the first epoch, and after every finished one

  int epochs() const { return static_cast<int>(train_kl.size()); }
  // Epochs after which the held-out divergence was least; the first of equals. 0: nothing gained.
  int best() const;
  // After the last epoch, or when two have gained nothing.
  bool has_ended(int most_epochs) const;
};

}  // namespace bitmill
