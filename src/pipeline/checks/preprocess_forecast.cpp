#include "pipeline/checks/preprocess_forecast.hpp"

#include <algorithm>
#include <cmath>

#include "base/pieces.hpp"
#include "method/lora_block.hpp"
#include "pipeline/adapting/adapter_trainer.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/checks/workload.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {
namespace {

// The held-out text is measured so often in a run.
constexpr int64_t measures_per_run = 20;

void count_steps(const PreprocessOptions& options, const ModelConfig& config,
                 PreprocessForecast& forecast) {
  forecast.blocks = config.blocks;
  forecast.seq_len = options.seq_len > 0 ? options.seq_len : default_seq_len(config);
  forecast.steps =
      options.steps > 0 ? options.steps : std::max<int64_t>(1, usual_sequences / options.batch);
  forecast.steps_per_measure = piece_count(forecast.steps, measures_per_run);
  // Rounded up, as transformers does.
  forecast.warmup_steps = std::min(
      forecast.steps - 1,
      static_cast<int64_t>(std::ceil(options.warmup * static_cast<double>(forecast.steps))));
  for (int64_t block = 0; block < config.blocks; ++block) {
    forecast.values += lora_values(config, options.lora, block);
    for (const LinearShape& shape : block_linears(config, block)) {
      forecast.adapters += options.lora.targets.contains(shape.role) ? 1 : 0;
    }
  }
}

// Of the original's 16-bit tensors.
int64_t outer_elements(const ModelConfig& config) {
  int64_t elements = 0;
  for (const TensorShape& tensor : outer_tensors(config)) {
    int64_t size = 1;
    for (const int64_t length : tensor.shape) size *= length;
    elements += size;
  }
  return elements;
}

constexpr int64_t bytes_of_half = 2;

int64_t block_elements(const ModelConfig& config) {
  int64_t elements = 0;
  for (const LinearShape& shape : block_linears(config, 0)) elements += shape.rows * shape.cols;
  return elements;
}

// The tensors of a base in which every linear is packed.
int64_t usual_base_bytes(const ModelConfig& config) {
  const Workload work = workload_of(QuantizeOptions(), config);
  return config.blocks * work.packed_bytes + bytes_of_half * outer_elements(config);
}

// At most: as TrainingCorpus counts them.
int64_t held_out_sequences(const PreprocessOptions& options, const PreprocessForecast& forecast) {
  const int64_t share = options.held_out.floor_times(forecast.steps * options.batch);
  return std::clamp<int64_t>(share, 1, most_held_out);
}

// Streams of a rank: for each sample between its two passes the inputs of the stage's blocks, and
// its output; with a teacher, its outputs.
int64_t stream_bytes(const PreprocessOptions& options, const PreprocessForecast& forecast,
                     int64_t sample) {
  const int stages = forecast.mesh.stages, replicas = forecast.mesh.replicas;
  const auto cuts =
      micro_batches({0, piece_count(options.batch, replicas)}, stages, most_in_micro_batch);
  const int64_t width = cuts.empty() ? 0 : cuts.front().size();
  const int64_t live = std::min<int64_t>(stages, std::ssize(cuts));
  int64_t samples = live * width * (piece_count(forecast.blocks, stages) + (stages == 1 ? 1 : 0));
  if (options.loss == TrainingLoss::divergence) {
    const int64_t taught =
        std::min(std::max(sequences_of_teacher, options.batch), forecast.steps * options.batch);
    // What a stage computes, and what the last stage collects.
    samples += (stages == 1 ? 1 : 2) * piece_count(taught, replicas) +
               piece_count(held_out_sequences(options, forecast), replicas);
  }
  return samples * sample;
}

// What is trained, on the busiest rank: values, and the moments of its slice; the gradients that
// are added up, of all blocks and of the one that is computed, and that block's values once more.
int64_t adapter_bytes(const PreprocessOptions& options, const PreprocessForecast& forecast) {
  const int stages = forecast.mesh.stages, replicas = forecast.mesh.replicas;
  const int64_t of_block = piece_count(forecast.values, forecast.blocks) * float_bytes;
  const int64_t of_stage = of_block * piece_count(forecast.blocks, stages);
  const SumsHeld sums = most_sums_held(options.batch, forecast.mesh);
  return of_stage * (1 + sums.between) + of_block * (1 + sums.of_block) +
         piece_count(2 * of_stage, replicas);
}

// What adapters keep of a sample for its backward pass, beside what linears do: masks, the inputs
// that remain, and the products with A.
int64_t adapter_input_bytes(const PreprocessOptions& options,
                            const std::vector<LinearShape>& linears, int64_t tokens) {
  int64_t values = 0;
  for (const LinearShape& shape : linears) {
    if (!options.lora.targets.contains(shape.role)) continue;
    values += options.lora.rank + shape.rows;
    if (options.lora.dropout > 0) values += 2 * shape.cols;
  }
  return values * tokens * float_bytes;
}

// Of the larger of two: the loss of a sequence, and passes through a block.
int64_t pass_bytes(const PreprocessOptions& options, const ModelConfig& config,
                   const PreprocessForecast& forecast, int threads) {
  const std::vector<LinearShape> linears = block_linears(config, 0);
  const int64_t lanes = std::min<int64_t>(
      threads, std::min(piece_count(options.batch, forecast.mesh.replicas), most_in_micro_batch));
  const int64_t logits = (options.loss == TrainingLoss::divergence ? 4 : 3) *
                         std::min(tokens_per_tile, forecast.seq_len) * config.vocab_size *
                         float_bytes;
  const int64_t sample = activation_bytes(linears, forecast.seq_len) +
                         adapter_input_bytes(options, linears, forecast.seq_len);
  return std::max(threads * logits, lanes * sample + threads * product_bytes(linears));
}

PreprocessMemory memory_of(const PreprocessOptions& options, const ModelConfig& config,
                           const PreprocessForecast& forecast, int64_t base_bytes, int64_t streams,
                           int threads) {
  const auto [stages, replicas] = forecast.mesh;
  const int64_t packed = (base_bytes - bytes_of_half * outer_elements(config)) / config.blocks;
  const int64_t head = config.vocab_size * config.embedding_size * float_bytes;
  const int64_t sample = forecast.seq_len * config.hidden_size * float_bytes;
  return {.libraries = library_memory,
          .packed = std::max<int64_t>(0, packed) * piece_count(config.blocks, stages),
          .block = block_elements(config) * float_bytes,
          .heads = (options.loss == TrainingLoss::divergence ? 2 : 1) * head,
          .passes = pass_bytes(options, config, forecast, threads),
          .streams = streams + most_in_micro_batch * sample +
                     sent_ahead_bytes(stages, piece_count(options.batch, replicas), sample),
          .adapters = adapter_bytes(options, forecast)};
}

}  // namespace

PreprocessForecast forecast_preprocess(const PreprocessOptions& options, const ModelConfig& config,
                                       int64_t base_bytes, const Mesh& mesh, int threads) {
  PreprocessForecast forecast;
  forecast.mesh = mesh;
  count_steps(options, config, forecast);
  const int64_t sample = forecast.seq_len * config.hidden_size * float_bytes;
  const int64_t streams = stream_bytes(options, forecast, sample);
  const int64_t in_memory =
      options.stream_memory > 0 ? std::min(options.stream_memory, streams) : streams;
  forecast.scratch_bytes = streams - in_memory;
  // Values and both moments, twice while the file is being replaced.
  constexpr int64_t state_vectors = 3;
  forecast.state_bytes = 2 * state_vectors * forecast.values * float_bytes;
  forecast.result_bytes =
      bytes_of_half * (outer_elements(config) + config.blocks * block_elements(config));
  forecast.memory =
      memory_of(options, config, forecast, base_bytes > 0 ? base_bytes : usual_base_bytes(config),
                in_memory, threads);
  forecast.peak_memory_bytes = forecast.memory.total();
  forecast.fingerprint_json = unknown_fingerprint;
  return forecast;
}

}  // namespace bitmill
