#pragma once
// What a model and a recipe ask of a machine, from config.json alone.

#include "model/config.hpp"
#include "pipeline/quantize.hpp"
#include "schedule/cost_model.hpp"

namespace bitmill {

// Samples of options.seq_len tokens, or by default min(2048, the longest that the model takes). lag
// 0 means epochs. Every linear counts as packed, whatever --ignore says.
Workload workload_of(const QuantizeOptions& options, const ModelConfig& config);

}  // namespace bitmill
