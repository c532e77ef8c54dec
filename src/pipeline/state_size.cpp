#include "pipeline/state_size.hpp"

#include <algorithm>

#include "model/family.hpp"
#include "pipeline/live_block.hpp"

namespace bitmill {
namespace {

constexpr int64_t float_bytes = 4, half_bytes = 2;

int64_t latents_of(const QuantizeOptions& options, const ModelConfig& config, int64_t block) {
  int64_t latents = 0;
  for (const LinearShape& shape : block_linears(config, block)) {
    if (is_kept(options, block, shape.tensor)) continue;
    latents +=
        shape.rows *
        std::max<int64_t>(0, shape.cols - options.method.salient_ratio.floor_times(shape.cols) - 1);
  }
  return latents;
}

}  // namespace

int64_t live_state_bytes(const QuantizeOptions& options, const ModelConfig& config) {
  if (!options.method.learned.signs) return 0;
  // Every block has state on disk from its first turn to its last; one file is being replaced.
  const int64_t files = (options.lag < options.epochs ? config.blocks : 1) + 1;
  constexpr int64_t vectors = 3;  // the latents and both moments
  return files * vectors * latents_of(options, config, 0) *
         (options.half_latents ? half_bytes : float_bytes);
}

}  // namespace bitmill
