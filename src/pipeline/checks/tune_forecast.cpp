#include "pipeline/checks/tune_forecast.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/pieces.hpp"
#include "format/config_file.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_linear.hpp"
#include "pipeline/blocks/live_file_size.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/checks/workload.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/sums/sample_share.hpp"
#include "pipeline/tuning/tuning_walk.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// Whether quantize has learned the 4-bit scales of the folder: then signs are tuned with them.
bool has_learned_code_scales(Files& files, const std::string& folder) {
  const json config = read_config_json(files, folder);
  const json::json_pointer rate(std::string(quantize_record) + "/settings/method/lr_code_scale");
  return config.contains(rate);
}

TunedParts parts_of(const TuneOptions& options, Files& files) {
  return {.rate = options.rate,
          .code_scales = options.learn_signs && has_learned_code_scales(files, options.model),
          .signs = options.learn_signs,
          .sign_rate = options.sign_rate};
}

void count_linear(const PackedShape& shape, TuneForecast& forecast) {
  ++forecast.linears;
  const int64_t low = shape.cols - shape.salient_cols;
  forecast.factors += (forecast.parts.code_scales ? 3 : 2) * shape.rows + low;
  if (forecast.parts.signs) forecast.latents += shape.rows * low;
}

// Portions of equal size: steps have the same windows however large a portion is.
void count_portions(const TuneOptions& options, TuneForecast& forecast) {
  const int64_t portions = piece_count(options.train_windows, options.portion);
  forecast.train = options.train_windows / portions / options.batch * options.batch;
  BITMILL_CHECK(forecast.train > 0, UsageError,
                fmt::format("--batch {} is more than the windows of a portion: {} windows of the "
                            "corpus come in portions of {} at most; lower --batch, or raise "
                            "--train-windows or --portion",
                            options.batch, options.train_windows, options.portion));
  BITMILL_CHECK(portions <= INT_MAX / options.epochs, UsageError,
                fmt::format("{} epochs of {} portions are too many", options.epochs, portions));
  forecast.epochs = static_cast<int>(portions) * options.epochs;
  // A portion early in the corpus is learned at a high rate: that it gains nothing says little.
  forecast.patience = forecast.epochs;
  forecast.steps_per_epoch = forecast.train / options.batch;
}

void count_groups(const TuneOptions& options, TuneForecast& forecast) {
  const int64_t at_a_time = options.sign_blocks > 0 ? options.sign_blocks : forecast.blocks;
  forecast.sign_groups = {forecast.blocks, std::min(at_a_time, forecast.blocks)};
  const int64_t groups = forecast.sign_groups.count();
  const int64_t steps = forecast.epochs * forecast.steps_per_epoch;
  BITMILL_CHECK(groups <= steps, UsageError,
                fmt::format("--sign-blocks {} makes {} groups of the {} blocks, and each needs a "
                            "step of its own, but there are {}: raise --sign-blocks, or the number "
                            "of steps (--epochs, {})",
                            options.sign_blocks, groups, forecast.blocks, steps,
                            options.corpus.empty() ? "--samples" : "--train-windows"));
}

void count_windows(const TuneOptions& options, const Calibration& calibration,
                   TuneForecast& forecast) {
  const int64_t windows = calibration.windows.count;
  forecast.seq_len = calibration.windows.seq_len;
  forecast.held_out = calibration.held_out;
  if (!options.corpus.empty()) return count_portions(options, forecast);
  forecast.epochs = options.epochs;
  // With signs an epoch that gains nothing says little while the rate is high: most is gained as it
  // falls.
  forecast.patience = options.learn_signs ? forecast.epochs : usual_patience;
  forecast.train = windows - forecast.held_out;
  if (forecast.train < options.batch) {
    const bool held_out_alone = options.batch < windows;  // one held-out window would leave enough
    throw UsageError(
        fmt::format("--batch {} is more than the {} windows that are trained on: {} of {} are held "
                    "out{}; lower {}, or give more windows (--samples, --calib)",
                    options.batch, forecast.train, forecast.held_out, windows,
                    held_out_alone ? fmt::format(" (--held-out {})", options.held_out.text()) : "",
                    held_out_alone ? "--held-out or --batch" : "--batch"));
  }
  forecast.steps_per_epoch = piece_count(forecast.train, options.batch);
}

// Bytes that learned signs take on the busiest rank: latents of its stage, as far as they are
// trained at a time, and again those of the block that is computed; its part of their moments;
// gradients (TuningWalk::train()); what the exchange of gradients takes, block by block; for every
// thread the copies of inputs and gradients of which the gradient of signs is the product; and the
// best signs of all its blocks, with groups also the present ones, which go from one group to the
// next.
int64_t sign_memory(const TuneOptions& options, const ModelConfig& config, int threads,
                    const TuneForecast& forecast) {
  if (!forecast.parts.signs) return 0;
  const auto [stages, replicas] = forecast.mesh;
  const int64_t block = forecast.latents / forecast.blocks;
  const int64_t stage = block * forecast.sign_groups.most_in_stage(stages);
  const int64_t copies = forecast.sign_groups.count() > 1 ? 2 : 1;
  const SumsHeld sums = most_sums_held(options.batch, forecast.mesh);
  const int64_t exchange =
      replicas == 1 ? 0 : block / replicas + exchange_floats(block, options.batch, replicas, 0);
  int64_t widest = 0;
  for (const LinearShape& shape : block_linears(config, 0)) {
    widest = std::max(widest, shape.rows + shape.cols);
  }
  const int64_t floats = stage + block + 2 * stage / replicas + sums.between * stage +
                         sums.of_block * block + exchange + threads * widest * forecast.seq_len;
  return floats * float_bytes + copies * block * piece_count(forecast.blocks, stages) / 8;
}

// Memory of the busiest rank: the packed blocks of its stage; one block as float32 and again as
// operands; its own head; beside it the larger of two: the other model's head, while the two heads
// are compared, or four times the logits of a tile of tokens for every thread; the streams; for
// every thread what a sample needs within a block; a micro-batch between two blocks; what is sent
// ahead of a slow neighbour; factors, their moments and gradients, and the state that is being
// written; and what learned signs take.
void estimate_resources(const TuneOptions& options, const ModelConfig& config, int threads,
                        TuneForecast& forecast) {
  const int stages = forecast.mesh.stages, replicas = forecast.mesh.replicas;
  const std::vector<LinearShape> linears = block_linears(config, 0);
  int64_t weights = 0;
  for (const LinearShape& shape : linears) weights += shape.rows * shape.cols * float_bytes;
  const int64_t of_thread = activation_bytes(linears, forecast.seq_len) + product_bytes(linears);
  const int64_t sample = forecast.seq_len * config.hidden_size * float_bytes;
  const SampleShare busiest(forecast.train, options.batch, replicas, replicas - 1);
  const int64_t own_of_batch = piece_count(options.batch, replicas);
  const int64_t blocks = piece_count(forecast.blocks, stages);
  const int64_t streams = sample * (2 * (busiest.own_count() + forecast.held_out / replicas + 1) +
                                    own_of_batch * (blocks + 1));
  const int64_t sent_ahead = sent_ahead_bytes(stages, own_of_batch, sample);
  if (options.stream_memory > 0) {
    forecast.stream_budget = std::max<int64_t>(0, options.stream_memory - sent_ahead);
  }
  const int64_t in_memory = std::min(forecast.stream_budget, streams);
  forecast.scratch_bytes = streams - in_memory;
  const int64_t logits =
      4 * std::min(tokens_per_tile, forecast.seq_len) * config.vocab_size * float_bytes;
  const int64_t head = config.vocab_size * config.embedding_size * float_bytes;
  // Factors, their two moments, the best factors, and the losses of an epoch. All of it twice,
  // while a file is being replaced.
  constexpr int64_t state_vectors = 4;
  // Latents have two moments, too. Of the best signs, and of those that are not trained at a time,
  // there is a bit each.
  const int64_t each = options.half_latents ? dtype_bytes(Dtype::bfloat16) : float_bytes;
  const int64_t trained =
      forecast.latents * forecast.sign_groups.most_in_stage(1) / forecast.blocks;
  const int64_t sign_bytes = trained * 3 * each + (2 * forecast.latents - trained) / 8;
  forecast.state_bytes =
      2 * ((state_vectors * forecast.factors + forecast.train) * float_bytes + sign_bytes);
  const int64_t largest_part = forecast.latents / forecast.blocks * (3 * each * 8 + 1) / 8;
  forecast.trial_bytes = std::max(state_vectors * forecast.factors * float_bytes,
                                  std::min(most_rehearsed_bytes, largest_part));
  // The state is joined for all stages, and copied to be written beside training.
  const int64_t factors = forecast.factors / stages * float_bytes * (6 + own_of_batch) +
                          2 * state_vectors * forecast.factors * float_bytes;
  forecast.peak_memory_bytes = library_memory + forecast.packed_bytes / stages + 9 * weights / 4 +
                               head + std::max(head, threads * logits) + in_memory +
                               threads * of_thread + most_in_micro_batch * sample + sent_ahead +
                               factors + sign_memory(options, config, threads, forecast);
}

}  // namespace

void forecast_tune(const TuneOptions& options, Files& files, const SourceModel& model,
                   const Calibration& calibration, int threads, TuneForecast& forecast) {
  forecast.blocks = model.config().blocks;
  forecast.parts = parts_of(options, files);
  for (const std::string& name : packed_names(model.tensors())) {
    count_linear(read_packed_shape(model.tensors(), name), forecast);
  }
  count_windows(options, calibration, forecast);
  count_groups(options, forecast);
  forecast.packed_bytes = model.tensors().tensor_bytes();
  estimate_resources(options, model.config(), threads, forecast);
}

TuneForecast plan_tune(const TuneOptions& options, const ModelConfig& config, const Mesh& mesh,
                       int threads) {
  TuneForecast forecast;
  forecast.blocks = config.blocks;
  forecast.mesh = mesh;
  // Whether quantize will learn 4-bit scales, nobody knows yet: the larger case.
  forecast.parts.signs = forecast.parts.code_scales = options.learn_signs;
  const QuantizeOptions quantized;
  for (int64_t block = 0; block < config.blocks; ++block) {
    for (const LinearShape& shape : block_linears(config, block)) {
      count_linear({shape.rows, shape.cols, quantized.method.salient_ratio.salient_of(shape.cols)},
                   forecast);
    }
  }
  const int64_t seq_len = options.seq_len > 0 ? options.seq_len : default_seq_len(config);
  Calibration calibration;
  calibration.windows = {options.samples, seq_len, {}};
  calibration.held_out = std::max<int64_t>(1, options.held_out.floor_times(options.samples));
  count_windows(options, calibration, forecast);
  count_groups(options, forecast);
  const Workload work = workload_of(quantized, config);
  forecast.packed_bytes = work.blocks * work.packed_bytes + work.kept_bytes;
  estimate_resources(options, config, threads, forecast);
  return forecast;
}

void forecast_windows(const TuneOptions& options, const Calibration& calibration,
                      TuneForecast& forecast) {
  count_windows(options, calibration, forecast);
  count_groups(options, forecast);
}

}  // namespace bitmill
