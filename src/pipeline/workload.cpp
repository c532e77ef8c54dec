#include "pipeline/workload.hpp"

#include <algorithm>

#include "format/packed_linear.hpp"
#include "method/input_moments.hpp"
#include "model/family.hpp"

namespace bitmill {
namespace {

constexpr int64_t default_seq_len = 2048;  // as calibration.cpp takes it
constexpr int64_t source_dtype_bytes = 2;  // checkpoints of this size come in 16 bits

}  // namespace

Workload workload_of(const QuantizeOptions& options, const ModelConfig& config) {
  Workload work;
  work.blocks = static_cast<int>(
      options.max_blocks > 0 ? std::min(options.max_blocks, config.blocks) : config.blocks);
  work.epochs = options.epochs;
  work.lag = options.lag > 0 ? options.lag : options.epochs;
  work.batch = options.batch;
  work.samples = options.samples;
  work.seq_len = options.seq_len > 0 ? options.seq_len : std::min(default_seq_len, config.context);
  work.hidden = config.hidden_size;
  work.stream_bytes = dtype_bytes(options.stream_dtype);

  int64_t bits = 0, activations = 0, latents = 0;
  for (const LinearShape& shape : block_linears(config, 0)) {
    const int64_t salient =
        std::min(shape.cols, options.method.salient_ratio.floor_times(shape.cols) + 1);
    work.weights += shape.rows * shape.cols;
    work.learned += 2 * shape.rows + shape.cols - salient;  // alpha, r1, r2
    latents += shape.rows * (shape.cols - salient);
    bits += stored_bits(shape.rows, shape.cols, salient);
    // What a linear reads and writes, and about as much again for norms, attention and gradients.
    activations += 2 * (shape.rows + shape.cols);
  }
  work.source_bytes = work.weights * source_dtype_bytes;
  // Embedding and head are one tensor where they are tied; norms and biases are too small to count.
  const int64_t tables = config.tied_embeddings ? 1 : 2;
  work.kept_bytes = tables * config.vocab_size * config.hidden_size * source_dtype_bytes +
                    (config.blocks - work.blocks) * work.source_bytes;
  work.packed_bytes = bits / 8;
  work.activation_bytes = activations * work.seq_len * static_cast<int64_t>(sizeof(float));

  // A product is two operations a weight and token. Scores and their use are two products of
  // T/2 (causal) by head_dim per head and token.
  const auto tokens = static_cast<double>(work.seq_len);
  const double linears = 2.0 * static_cast<double>(work.weights) * tokens;
  const double attention =
      2.0 * tokens * tokens * static_cast<double>(config.heads * config.head_dim);
  work.forward_flops = linears + attention;
  // Two products per linear (../method: no weight gradient exists but that of signs), and of
  // attention's backward pass two and a half times its forward.
  work.unit_flops = 2 * linears + 3.5 * attention;
  if (options.method.learned.signs) {
    work.learned += latents;
    work.unit_flops += 2.0 * static_cast<double>(latents) * tokens;  // the third product
  }
  if (const auto width = MomentLayout::needed(options.method)) {
    work.statistics = MomentLayout(block_linears(config, 0), *width).size();
  }
  return work;
}

}  // namespace bitmill
