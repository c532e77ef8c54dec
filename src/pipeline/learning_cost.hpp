#pragma once
// What is as large as a block's weights, beyond its weights: learned signs with their gradients and
// optimiser state, and the moments of the linears' inputs. Estimates for the plan.

#include <cstdint>

#include "model/config.hpp"
#include "pipeline/quantize.hpp"

namespace bitmill {

struct LearningCost {
  int64_t training_bytes = 0;    // memory of the busiest rank while the block trains
  int64_t statistics_bytes = 0;  // memory of the busiest rank while the block is made ready
  int64_t state_bytes = 0;       // in the work folder
};

// For `ranks` replicas with `threads` each. Nothing where signs and moments are not asked for.
LearningCost learning_cost(const QuantizeOptions& options, const ModelConfig& config,
                           int64_t samples, int ranks, int threads);

}  // namespace bitmill
