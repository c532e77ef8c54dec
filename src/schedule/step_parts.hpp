#pragma once
// What a GPU does in a step, as parts that follow one another: products, kernels and passes of
// libtorch, each with its operations and the bytes that it moves. From these comes the time on
// paper, of the planner as of kernels/STEP.md.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace bitmill {

enum class PartKind { product, kernel, library };  // by cublasLt, of ../kernels, by libtorch

// Some calls that do the same. Several parts of a step may have one name.
struct StepPart {
  std::string_view name;  // of a kernel: its launcher's
  PartKind kind = PartKind::kernel;
  double flops = 0;   // of products; what kernels compute is hidden behind what they move
  double bytes = 0;   // read and written in the memory of the device
  int64_t calls = 1;  // launches
};
using StepParts = std::vector<StepPart>;

// Of a block: everything but the optimiser, whose work replicas share.
struct BlockStep {
  StepParts forward;   // a sample through the dense block
  StepParts unit;      // the gradient of a sample, for the student
  StepParts addition;  // of the gradients of two samples
  StepParts step;      // once a step
};

struct DeviceRates {
  double flops_per_s = 1;
  double bytes_per_s = 1;
  double call_s = 0;  // that the host needs for a launch
};

// A part takes the longer of its operations and its bytes.
double part_seconds(const StepPart& part, const DeviceRates& rates);
// The parts one after the other, or the host's launches where these take longer.
double parts_seconds(std::span<const StepPart> parts, const DeviceRates& rates);

}  // namespace bitmill
