#pragma once
// Counts what a GPU does in a step of a block: kernels/STEP.md as code, linear by linear, with the
// attention, norms, activation, residual sums and loss around the linears.

#include <cstdint>
#include <vector>

#include "method/settings.hpp"
#include "model/config.hpp"
#include "model/family.hpp"
#include "schedule/step_parts.hpp"

namespace bitmill {

struct StepShape {
  int64_t seq_len = 0;
  int64_t element_bytes = 2;  // of activations and operands
  int64_t stream_bytes = 4;   // of an element of a stream
};

// `linears` are those of the block. Vectors of a value for each row or column are not counted,
// beside arrays with one for each token; tables of sums are.
BlockStep block_step(const ModelConfig& config, const std::vector<LinearShape>& linears,
                     const MethodSettings& method, const StepShape& shape);

}  // namespace bitmill
