#pragma once
// What live blocks take in the work folder.

#include <cstdint>

#include "model/config.hpp"
#include "pipeline/quantize.hpp"

namespace bitmill {

// Latents of learned signs with their moments, at most; 0 where signs are not learned: everything
// else that is learned is too small to count.
int64_t live_state_bytes(const QuantizeOptions& options, const ModelConfig& config);

}  // namespace bitmill
