#pragma once
// What a model and a recipe need from a machine, computed from config.json alone.

#include <cstdint>
#include <vector>

#include "model/config.hpp"
#include "model/family.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "schedule/cost_model.hpp"

namespace bitmill {

// Samples have options.seq_len tokens, by default min(2048, the model's context). lag 0 means
// epochs. Every linear counts as packed, even if it matches --ignore.
Workload workload_of(const QuantizeOptions& options, const ModelConfig& config);

// Memory of one thread that trains a sample of `tokens` through a block of these linears:
// activation_bytes() for activations and gradients, product_bytes() for copies of operands that
// matrix products make on a processor.
int64_t activation_bytes(const std::vector<LinearShape>& linears, int64_t tokens);
int64_t product_bytes(const std::vector<LinearShape>& linears);

}  // namespace bitmill
