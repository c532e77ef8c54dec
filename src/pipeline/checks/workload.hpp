#pragma once
// What a model and a recipe ask of a machine, from config.json alone.

#include <cstdint>
#include <vector>

#include "model/config.hpp"
#include "model/family.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "schedule/cost_model.hpp"

namespace bitmill {

// Samples of options.seq_len tokens, or by default min(2048, the longest that the model takes). lag
// 0 means epochs. Every linear counts as packed, whatever --ignore says.
Workload workload_of(const QuantizeOptions& options, const ModelConfig& config);

// What a thread needs while it trains a sample of `tokens` through a block of these linears, and
// what its products copy of their operands on a processor.
int64_t activation_bytes(const std::vector<LinearShape>& linears, int64_t tokens);
int64_t product_bytes(const std::vector<LinearShape>& linears);

}  // namespace bitmill
