#pragma once
// How much memory the kernels of a training step move in a millisecond, on a GPU.

#include <string>
#include <vector>

namespace bitmill {

// A line a kernel: its time at a 70B model's shapes in bfloat16, GB/s of the bytes that
// kernels/STEP.md counts, and the part of `copy_gb_per_s` that this is. Takes a few seconds.
std::vector<std::string> step_kernel_lines(double copy_gb_per_s);

}  // namespace bitmill
