#include "pipeline/learning_cost.hpp"

#include <algorithm>

#include "method/input_moments.hpp"
#include "pipeline/live_block.hpp"
#include "pipeline/sliced_sum.hpp"

namespace bitmill {
namespace {

constexpr int64_t float_bytes = 4;

// Floats of the busiest rank while a vector of `size` floats is summed over a batch: sums in
// flight, its slice, and what travels. Replicas differ by a position or two; the last has the most.
int64_t summing_floats(int64_t size, int64_t batch, int ranks, int threads) {
  const int last = ranks - 1;
  return size * peak_sums_in_flight(batch, ranks, last, threads) + size / ranks +
         exchange_floats(size, batch, ranks, last);
}

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

LearningCost learning_cost(const QuantizeOptions& options, const ModelConfig& config,
                           int64_t samples, int ranks, int threads) {
  LearningCost cost;
  const int64_t batch = std::min(options.batch, samples);
  if (options.method.learned.signs) {
    const int64_t latents = latents_of(options, config, 0);
    // The latents themselves, on every rank; both moments, of its slice.
    cost.training_bytes = float_bytes * (latents + 2 * latents / ranks +
                                         summing_floats(latents, batch, ranks, threads));
    // Every block has state on disk from its first turn to its last; one file is being replaced.
    const int64_t files = (options.lag < options.epochs ? config.blocks : 1) + 1;
    cost.state_bytes = files * 3 * latents * (options.half_latents ? 2 : float_bytes);
  }
  if (const auto width = MomentLayout::needed(options.method)) {
    const int64_t size = MomentLayout(block_linears(config, 0), *width).size();
    cost.statistics_bytes = float_bytes * (2 * size + summing_floats(size, batch, ranks, threads));
  }
  return cost;
}

}  // namespace bitmill
