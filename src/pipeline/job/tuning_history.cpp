#include "pipeline/job/tuning_history.hpp"

#include <algorithm>
#include <cmath>

namespace bitmill {
int TuningHistory::best() const {
  return static_cast<int>(std::ranges::min_element(held_out_kl) - held_out_kl.begin());
}

bool TuningHistory::diverged() const { return !std::isfinite(held_out_kl.back()); }

bool TuningHistory::has_ended(int most_epochs, int patience) const {
  return epochs() >= most_epochs || epochs() - best() >= patience || diverged();
}

}  // namespace bitmill
