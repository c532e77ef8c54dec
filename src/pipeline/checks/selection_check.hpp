#pragma once
// Options that choose blocks and linears of a model: a choice that hits nothing is an error,
// because the user believes otherwise.

#include <string>
#include <vector>

#include "model/config.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// UsageError for an entry of --ignore that names no linear of any block, with the nearest names;
// and for --redo-blocks beyond the last block that is packed. REQUIRES: --ignore is understood.
void check_selections(const QuantizeOptions& options, const ModelConfig& config);

// What the user should hear: what each entry of --ignore keeps, and that there are no more blocks
// than --max-blocks allows. REQUIRES: check_selections() has passed.
std::vector<std::string> selection_notes(const QuantizeOptions& options, const ModelConfig& config);

}  // namespace bitmill
