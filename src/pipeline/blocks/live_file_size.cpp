#include "pipeline/blocks/live_file_size.hpp"

#include <algorithm>

#include "method/grid.hpp"
#include "method/input_moments.hpp"
#include "model/family.hpp"
#include "pipeline/blocks/live_block.hpp"
#include "schedule/cost_model.hpp"

namespace bitmill {
namespace {

constexpr int64_t half_bytes = 2;
constexpr int64_t vectors_each = 3;  // a learned value and its two moments

// Bytes of one linear: its learned values and their moments, and what coordinate descent fixed.
int64_t linear_bytes(const QuantizeOptions& options, const LinearShape& shape) {
  const MethodSettings& method = options.method;
  const int64_t salient = method.salient_ratio.salient_of(shape.cols);
  const int64_t binary = shape.cols - salient;
  int64_t bytes = 0;
  for (const LearnedTensor& tensor : learned_of(shape.rows, binary, method)) {
    const bool half = tensor.large && options.half_latents;
    bytes += vectors_each * tensor.size() * (half ? half_bytes : float_bytes);
  }
  if (method.init != Init::descent) return bytes;
  bytes += shape.rows * (salient + float_bytes);  // codes of a byte each, row means
  return method.learned.signs ? bytes : bytes + shape.rows * binary;  // signs of a byte each
}

int64_t block_bytes(const QuantizeOptions& options, const ModelConfig& config, int64_t block) {
  const auto shapes = block_linears(config, block);
  int64_t bytes = 0, channels = 0;
  for (const LinearShape& shape : shapes) {
    channels += shape.cols;
    if (!is_kept(options, block, shape.tensor)) bytes += linear_bytes(options, shape);
  }
  if (MomentLayout::needed(options.method)) {
    channels += MomentLayout(shapes, MomentLayout::Width::channels).size();
  }
  return bytes + channels * float_bytes;  // saliency, mean squares
}

}  // namespace

int64_t live_file_bytes(const QuantizeOptions& options, const ModelConfig& config) {
  int64_t largest = 0;
  for (int64_t block = 0; block < config.blocks; ++block) {
    largest = std::max(largest, block_bytes(options, config, block));
  }
  return largest;
}

int64_t rehearsal_bytes(const QuantizeOptions& options, const ModelConfig& config,
                        int64_t packed_bytes) {
  QuantizeOptions all_bits = options;
  all_bits.half_latents = false;
  return std::min(most_rehearsed_bytes, std::max(packed_bytes, live_file_bytes(all_bits, config)));
}

}  // namespace bitmill
