#pragma once
// What `tune` learns of a packed model.

namespace bitmill {

// What is learned, with its learning rates before the schedule.
struct TunedParts {
  double rate = 2e-3;  // of all factors
  bool code_scales = false;
  bool signs = false;
  double sign_rate = 3e-3;  // of latents
};

}  // namespace bitmill
