#pragma once
// Which blocks and linears of a model are packed.

#include <cstdint>
#include <string>

#include "model/source_model.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// The first blocks of the model: all of them, or as many as --max-blocks says.
int64_t blocks_to_pack(const QuantizeOptions& options, const ModelConfig& config);
// True for linears that --ignore and --max-blocks leave alone.
bool is_kept(const QuantizeOptions& options, int64_t block, const std::string& tensor);

}  // namespace bitmill
