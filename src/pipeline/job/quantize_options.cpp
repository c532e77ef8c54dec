#include "pipeline/job/quantize_options.hpp"

#include <algorithm>

namespace bitmill {

QuantizeOptions resolve_lag(QuantizeOptions options) {
  if (options.lag == 0) options.lag = options.epochs;
  return options;
}

int64_t blocks_to_pack(const QuantizeOptions& options, const ModelConfig& config) {
  return options.max_blocks > 0 ? std::min(options.max_blocks, config.blocks) : config.blocks;
}

bool is_kept(const QuantizeOptions& options, int64_t block, const std::string& tensor) {
  if (options.max_blocks > 0 && block >= options.max_blocks) return true;
  return options.ignore.contains(tensor);
}

}  // namespace bitmill
