#pragma once
// How much memory the kernels of a training step move in a millisecond, on a GPU.

#include <string>
#include <vector>

namespace bitmill {

struct KernelSpeed {
  std::string name;
  double ms = 0;
  double gb_per_s = 0;  // of the bytes that kernels/STEP.md counts
  double share = 0;     // of what a copy moves in that time
};

// At a 70B model's shapes in bfloat16. Takes a few seconds.
std::vector<KernelSpeed> step_kernel_speeds(double copy_gb_per_s);

}  // namespace bitmill
