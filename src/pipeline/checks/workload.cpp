#include "pipeline/checks/workload.hpp"

#include <algorithm>
#include <vector>

#include "format/packed_linear.hpp"
#include "format/safetensors_writer.hpp"
#include "method/device_memory.hpp"
#include "method/grid.hpp"
#include "method/input_moments.hpp"
#include "pipeline/blocks/live_file_size.hpp"
#include "pipeline/checks/block_step.hpp"
#include "pipeline/checks/calibration.hpp"

namespace bitmill {
namespace {

constexpr int64_t source_dtype_bytes = 2;  // checkpoints of models of this size have 16 bits

// Memory of a tensor in the headers of run folder and result while rank 0 assembles the result: its
// entry as JSON and as kept in memory, and its hashes. Measured: 30 blocks of SmolLM2 compared with
// 4.
constexpr int64_t header_bytes_of_tensor = 3000;

// Sums over the linears of a block.
struct LinearSums {
  int64_t low = 0;           // rows x low columns: signs
  int64_t codes = 0;         // rows x salient columns
  int64_t bits = 0;          // packed
  int64_t pairs = 0;         // rows x cols x cols
  int64_t linears = 0;       // how many
  int64_t largest = 0;       // rows x cols of one
  int64_t largest_bits = 0;  // of one, packed

  int64_t weights() const { return low + codes; }
};

LinearSums sum_linears(const std::vector<LinearShape>& linears, const ExactRatio& salient_ratio) {
  LinearSums sums;
  for (const LinearShape& shape : linears) {
    const int64_t salient = salient_ratio.salient_of(shape.cols);
    sums.low += shape.rows * (shape.cols - salient);
    sums.codes += shape.rows * salient;
    const int64_t bits = stored_bits(shape.rows, shape.cols, salient);
    sums.bits += bits;
    sums.largest_bits = std::max(sums.largest_bits, bits);
    sums.pairs += shape.rows * shape.cols * shape.cols;
    sums.largest = std::max(sums.largest, shape.rows * shape.cols);
    ++sums.linears;
  }
  return sums;
}

int64_t learned_values(const MethodSettings& method, const std::vector<LinearShape>& linears) {
  int64_t values = 0;
  for (const LinearShape& shape : linears) {
    const int64_t low = shape.cols - method.salient_ratio.salient_of(shape.cols);
    for (const LearnedTensor& tensor : learned_of(shape.rows, low, method)) values += tensor.size();
  }
  return values;
}

// As if every linear were packed. --ignore is not used, because it may not be a valid expression:
// the checks of a run, which come later, find that out.
int64_t state_bytes_of(const QuantizeOptions& options, const ModelConfig& config) {
  QuantizeOptions all = options;
  all.ignore = {};
  return live_file_bytes(all, config);
}

// The extra work of a block's first turn: statistics of inputs, and coordinate descent. An estimate
// of descent.cpp: two products with Sigma (4 operations), and three passes that change the rest of
// a row and a Sigma, as if every column changed (12 operations), for each pair of a row's columns.
void count_first_turn(const QuantizeOptions& options, const LinearSums& sums,
                      const std::vector<LinearShape>& linears, Workload& work) {
  const auto width = MomentLayout::needed(options.method);
  if (!width) return;
  work.statistics = MomentLayout(linears, *width).size();
  work.statistics_flops =
      2.0 * static_cast<double>(work.statistics) * static_cast<double>(work.seq_len);
  if (options.method.init == Init::descent) {
    work.descent_flops = 16.0 * static_cast<double>(sums.pairs);
  }
}

// A matrix product takes two operations for each weight and token. In attention, the scores and
// their use are two products of T/2 (causal) by head_dim, for each head and token.
void count_products(const QuantizeOptions& options, const ModelConfig& config,
                    const LinearSums& sums, Workload& work) {
  const auto tokens = static_cast<double>(work.seq_len);
  const double linears = 2.0 * static_cast<double>(work.weights) * tokens;
  const double attention =
      2.0 * tokens * tokens * static_cast<double>(config.heads * config.head_dim);
  work.forward_flops = linears + attention;
  // Two products for each linear (../method: only signs have a weight gradient). The backward pass
  // of attention costs two and a half times its forward pass.
  work.unit_flops = 2 * linears + 3.5 * attention;
  if (options.method.learned.signs) {
    work.unit_flops += 2.0 * static_cast<double>(sums.low) * tokens;  // the third product
  }
}

// What is copied without change: embeddings, a head, and blocks that are not packed. Embedding and
// head are one tensor where they are tied. Norms and biases are too small to count.
void count_kept(const ModelConfig& config, const LinearSums& sums, Workload& work) {
  const int64_t table = config.vocab_size * config.embedding_size * source_dtype_bytes;
  const int64_t kept_blocks = config.blocks - work.blocks;
  work.kept_bytes = (config.tied_embeddings ? 1 : 2) * table + kept_blocks * work.source_bytes;
  const int64_t largest = std::max(table, kept_blocks > 0 ? sums.largest * source_dtype_bytes : 0);
  // After the copying, the result is read back, one linear at a time.
  work.assembly_bytes = std::max(std::min(largest, bytes_per_piece), sums.largest_bits / 8);
  work.header_bytes =
      work.blocks * sums.linears * std::ssize(packed_parts()) * header_bytes_of_tensor;
}

// The element type in which a device with memory of its own computes.
DeviceWork device_work(const QuantizeOptions& options, const ModelConfig& config,
                       const Workload& work) {
  const std::vector<LinearShape> linears = block_linears(config, 0);
  const DeviceBlockBytes block =
      device_block_bytes(config, linears, options.method, work.seq_len, dtype_bytes(options.dtype));
  const int64_t values = work.seq_len * work.hidden;
  DeviceWork device{.operand_bytes = block.operands,
                    .unit_bytes = block.unit,
                    .weight_bytes = block.weights,
                    .forward_bytes = block.forward,
                    .attention_bytes = block.attention_scratch};
  // A unit reads three samples. One that lies on the device in the type that is computed with is
  // used there; any other becomes a tensor of its own. One from the host arrives in a place beside
  // that (SampleStream::bring_ahead()).
  const int64_t computed = device_tensor_bytes(values * dtype_bytes(options.dtype));
  const int64_t arrived = device_tensor_bytes(values * dtype_bytes(options.stream_dtype));
  const bool same = options.dtype == options.stream_dtype;
  device.sample_bytes = same ? 0 : computed;
  device.arriving_bytes = 3 * (arrived + (same ? computed : 0));
  return device;
}

}  // namespace

Workload workload_of(const QuantizeOptions& options, const ModelConfig& config) {
  Workload work;
  work.blocks = static_cast<int>(blocks_to_pack(options, config));
  work.epochs = options.epochs;
  work.lag = options.lag > 0 ? options.lag : options.epochs;
  work.batch = options.batch;
  work.samples = options.samples;
  work.seq_len = options.seq_len > 0 ? options.seq_len : default_seq_len(config);
  work.hidden = config.hidden_size;
  work.stream_bytes = dtype_bytes(options.stream_dtype);
  work.stream_memory = options.stream_memory;

  const std::vector<LinearShape> linears = block_linears(config, 0);
  const LinearSums sums = sum_linears(linears, options.method.salient_ratio);
  work.weights = sums.weights();
  work.learned = learned_values(options.method, linears);
  work.source_bytes = work.weights * source_dtype_bytes;
  work.packed_bytes = sums.bits / 8;
  work.state_bytes = state_bytes_of(options, config);
  work.save_beside = options.save_beside;
  work.activation_bytes = activation_bytes(linears, work.seq_len);
  work.product_bytes = product_bytes(linears);
  count_kept(config, sums, work);
  count_products(options, config, sums, work);
  // Tables of GPUs are for bfloat16.
  work.on_device = block_step(config, linears, options.method,
                              {.seq_len = work.seq_len, .stream_bytes = work.stream_bytes});
  count_first_turn(options, sums, linears, work);
  work.device = device_work(options, config, work);
  return work;
}

// Inputs and outputs of linears are kept for the backward pass. Norms, attention, gradients and
// what the heap keeps between them need two and a quarter times as much. The memory that one more
// thread takes was measured, with 64 to 1,024 tokens of three models. From 3 MB on it is 0.84 to
// 1.19 times the sum of this and product_bytes(); below 3 MB it is up to 1.4 times
// (../schedule/PLANNING.md).
int64_t activation_bytes(const std::vector<LinearShape>& linears, int64_t tokens) {
  int64_t values = 0;
  for (const LinearShape& shape : linears) values += shape.rows + shape.cols;
  return 13 * values * tokens / 4 * float_bytes;
}

// About twice the largest weight of the block, as float32.
int64_t product_bytes(const std::vector<LinearShape>& linears) {
  int64_t largest = 0;
  for (const LinearShape& shape : linears) largest = std::max(largest, shape.rows * shape.cols);
  return 2 * largest * float_bytes;
}

}  // namespace bitmill
