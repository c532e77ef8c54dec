#include "pipeline/checks/tune_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "backend/backend.hpp"
#include "base/error.hpp"
#include "base/pieces.hpp"
#include "base/problems.hpp"
#include "format/config_file.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_layout.hpp"
#include "format/packed_linear.hpp"
#include "format/partial_folder.hpp"
#include "pipeline/blocks/live_file_size.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/checks/folders_check.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/checks/reference_check.hpp"
#include "pipeline/checks/workload.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/sums/sample_share.hpp"
#include "pipeline/tuning/tuning_text.hpp"
#include "pipeline/tuning/tuning_walk.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

void check_settings(const TuneOptions& options, Problems& problems) {
  const auto check = [&](bool fine, const char* option, const std::string& value,
                         const char* allowed) {
    if (!fine) problems.add_usage(fmt::format("{} is {}: it must be {}", option, value, allowed));
  };
  check(options.samples >= 2, "--samples", fmt::to_string(options.samples),
        "at least 2: one is held out");
  check(options.epochs >= 1, "--epochs", fmt::to_string(options.epochs), "at least 1");
  check(options.train_windows >= 1, "--train-windows", fmt::to_string(options.train_windows),
        "at least 1");
  check(options.portion >= 1, "--portion", fmt::to_string(options.portion), "at least 1");
  check(options.batch >= 1, "--batch", fmt::to_string(options.batch), "at least 1");
  check(std::isfinite(options.rate) && options.rate > 0, "--lr", fmt::to_string(options.rate),
        "a finite number above 0");
  check(std::isfinite(options.sign_rate) && options.sign_rate > 0, "--lr-sign",
        fmt::to_string(options.sign_rate), "a finite number above 0");
  check(options.held_out.numerator > 0, "--held-out", options.held_out.text(),
        "above 0: without windows to compare on, nobody knows whether anything was gained");
  if (options.backend != "cuda") problems.attempt([&] { make_backend(options.backend); });
}

// Returns the hashes of all tensors of the folder.
TensorHashes check_packed(Files& files, const std::string& folder) {
  BITMILL_CHECK(
      is_packed_folder(files, folder), UsageError,
      fmt::format("{} is not packed: tune the result of `bitmill quantize`, and give this "
                  "folder as --reference",
                  folder));
  return verify_packed_folder(files, folder, {});
}

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

void count_linears(const SourceModel& model, TuneForecast& forecast) {
  for (const std::string& name : packed_names(model.tensors())) {
    const PackedShape shape = read_packed_shape(model.tensors(), name);
    ++forecast.linears;
    const int64_t low = shape.cols - shape.salient_cols;
    forecast.factors += (forecast.parts.code_scales ? 3 : 2) * shape.rows + low;
    if (forecast.parts.signs) forecast.latents += shape.rows * low;
  }
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

Mesh choose_mesh(const TuneOptions& options, int64_t blocks, int ranks) {
  const int stages = options.stages;
  BITMILL_CHECK(stages >= 1 && stages <= blocks && ranks % stages == 0, UsageError,
                fmt::format("--stages is {}: it must divide the {} ranks there are, and be at most "
                            "the {} blocks",
                            stages, ranks, blocks));
  return {stages, ranks / stages};
}

// What is known of the corpus before it is read. tune() also compares a hash of its text with that
// which the run began with.
json describe_corpus(const TuneOptions& options, Files& files) {
  std::vector<int64_t> sizes;
  for (const std::string& path : options.corpus) sizes.push_back(files.open(path)->size());
  return {{"bytes", sizes},
          {"train_windows", options.train_windows},
          {"portion", options.portion},
          {"passes", options.epochs}};
}

std::string make_fingerprint(const TuneOptions& options, const TuneForecast& forecast, Files& files,
                             const SourceModel& model, const SourceModel& teacher,
                             const Windows& windows) {
  json fingerprint = {{"job", "tune"},
                      {"arithmetic_version", arithmetic_version},
                      {"format_version", packed::format_version},
                      {"model", json::parse(describe_model(model))},
                      {"reference", json::parse(describe_model(teacher))},
                      {"windows", windows.hash()},
                      {"epochs", forecast.epochs},
                      {"batch", options.batch},
                      {"lr", options.rate},
                      {"held_out", options.held_out.text()},
                      {"backend", options.backend}};
  if (options.dtype != Dtype::float32) fingerprint["dtype"] = dtype_word(options.dtype);
  if (!options.corpus.empty()) fingerprint["corpus"] = describe_corpus(options, files);
  if (forecast.parts.signs) {
    fingerprint["lr_sign"] = forecast.parts.sign_rate;
    if (options.half_latents) fingerprint["sign_state_bits"] = 16;
    fingerprint["learned_code_scales"] = forecast.parts.code_scales;
  }
  record_window_settings(options.shuffle_seed, windows, fingerprint);
  return fingerprint.dump();
}

JobFolders job_folders(const TuneOptions& options, const TuneForecast& forecast) {
  JobFolders folders = common_folders(options, forecast);
  folders.models = {{"--model", options.model}, {"--reference", options.reference}};
  for (const std::string& path : options.corpus) folders.models.emplace_back("--corpus", path);
  folders.state_bytes = forecast.state_bytes;
  folders.rank_scratch_bytes = forecast.scratch_bytes;
  folders.scratch_bytes = forecast.scratch_bytes * forecast.mesh.ranks();
  return folders;
}

// Bytes that learned signs take on the busiest rank: latents of its stage, and again those of the
// block that is computed; the best signs; its part of their moments; gradients
// (TuningWalk::train()); what the exchange of gradients takes, block by block; and for every thread
// the copies of inputs and gradients of which the gradient of signs is the product.
int64_t sign_memory(const TuneOptions& options, const ModelConfig& config, int threads,
                    const TuneForecast& forecast) {
  if (!forecast.parts.signs) return 0;
  const auto [stages, replicas] = forecast.mesh;
  const int64_t block = forecast.latents / forecast.blocks;
  const int64_t stage = block * piece_count(forecast.blocks, stages);
  const SumsHeld sums = most_sums_held(options.batch, forecast.mesh);
  const int64_t exchange =
      replicas == 1 ? 0 : block / replicas + exchange_floats(block, options.batch, replicas, 0);
  int64_t widest = 0;
  for (const LinearShape& shape : block_linears(config, 0)) {
    widest = std::max(widest, shape.rows + shape.cols);
  }
  const int64_t floats = stage + block + 2 * stage / replicas + sums.between * stage +
                         sums.of_block * block + exchange + threads * widest * forecast.seq_len;
  return floats * float_bytes + stage / 8;
}

// Memory of the busiest rank: the packed blocks of its stage; one block as float32 and again as
// operands; its own head; beside it the larger of two: the other model's head, while the two heads
// are compared, or four times the logits of a tile of tokens for every thread; the streams; for
// every thread what a sample needs within a block; a micro-batch between two blocks; what is sent
// ahead of a slow neighbour; factors, their moments and gradients, and the state that is being
// written; and what learned signs take.
void estimate_resources(const TuneOptions& options, const SourceModel& model, int threads,
                        TuneForecast& forecast) {
  const ModelConfig& config = model.config();
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
  const int64_t in_memory =
      options.stream_memory > 0 ? std::min(options.stream_memory, streams) : streams;
  forecast.scratch_bytes = streams - in_memory;
  const int64_t logits =
      4 * std::min(tokens_per_tile, forecast.seq_len) * config.vocab_size * float_bytes;
  const int64_t head = config.vocab_size * config.embedding_size * float_bytes;
  // Factors, their two moments, the best factors, and the losses of an epoch. All of it twice,
  // while a file is being replaced.
  constexpr int64_t state_vectors = 4;
  // Latents have two moments, too, and the best signs a bit each.
  const int64_t each = options.half_latents ? dtype_bytes(Dtype::bfloat16) : float_bytes;
  const int64_t sign_bytes = forecast.latents * 3 * each + forecast.latents / 8;
  forecast.state_bytes =
      2 * ((state_vectors * forecast.factors + forecast.train) * float_bytes + sign_bytes);
  forecast.trial_bytes = std::max(state_vectors * forecast.factors * float_bytes,
                                  std::min(most_rehearsed_bytes, sign_bytes / forecast.blocks));
  // The state is joined for all stages, and copied to be written beside training.
  const int64_t factors = forecast.factors / stages * float_bytes * (6 + own_of_batch) +
                          2 * state_vectors * forecast.factors * float_bytes;
  forecast.peak_memory_bytes = library_memory + model.tensors().tensor_bytes() / stages +
                               9 * weights / 4 + head + std::max(head, threads * logits) +
                               in_memory + threads * of_thread + most_in_micro_batch * sample +
                               sent_ahead_bytes(stages, own_of_batch, sample) + factors +
                               sign_memory(options, config, threads, forecast);
}

// What the checks have found so far. What could not be read is empty.
struct Found {
  std::optional<SourceModel> model, teacher;
  TensorHashes hashes;
  std::optional<Calibration> calibration;
};

void look_at_models(const TuneOptions& options, Files& files, Found& found, Problems& problems) {
  problems.in("model " + options.model);
  problems.attempt([&] {
    found.hashes = check_packed(files, options.model);
    found.model.emplace(files, options.model, options.reading);
    check_companions(files, options.model);
  });
  problems.in("reference " + options.reference);
  problems.attempt([&] {
    check_not_packed(files, options.reference);
    found.teacher.emplace(files, options.reference, options.reading);
  });
  if (!found.model || !found.teacher) return;
  problems.attempt([&] { check_same_model(*found.model, *found.teacher); });
  problems.attempt([&] {
    check_is_needed(options.reading, std::array{&*found.model, &*found.teacher});
  });
}

void look_at_calibration(const TuneOptions& options, Files& files, Found& found,
                         Problems& problems) {
  problems.in("calibration " + options.calib);
  if (!problems.attempt([&] { files.open(options.calib); }) || !found.model) return;
  problems.attempt([&] {
    CalibrationSource source = calibration_source(options);
    // check_settings() has already reported a wrong --samples.
    source.samples = std::max<int64_t>(source.samples, 2);
    found.calibration = read_calibration(source, files, found.model->config());
    if (found.teacher) {
      check_sequence_length(found.teacher->config(), options.reference,
                            found.calibration->windows.seq_len);
    }
  });
}

// With a corpus, only the windows that are held out are used.
void keep_held_out(Calibration& calibration) {
  Windows& windows = calibration.windows;
  const auto others = (windows.count - calibration.held_out) * windows.seq_len;
  windows.ids.erase(windows.ids.begin(), windows.ids.begin() + others);
  windows.count = calibration.held_out;
}

void look_at_corpus(const TuneOptions& options, Files& files, const ModelConfig& config,
                    TuneForecast& forecast, Problems& problems) {
  problems.in("corpus");
  problems.attempt([&] {
    const CorpusDiskBytes disk = corpus_disk_bytes(files, corpus_of(options, forecast, config));
    forecast.corpus_bytes = disk.unpacked + disk.index;
    const std::string place = nearest_existing(files, files.resolve(options.corpus_dir));
    const int64_t free = files.free_bytes(place);
    BITMILL_CHECK(forecast.corpus_bytes <= free, FileError,
                  fmt::format("index and unpacked texts of --corpus take up to {} bytes in {}, and "
                              "{} has {} free; give another --scratch-dir",
                              forecast.corpus_bytes, options.corpus_dir, place, free));
  });
}

// The forecast, as far as it can be made.
TuneForecast make_forecast(const TuneOptions& options, Files& files, const Found& found, int ranks,
                           int threads, Problems& problems) {
  TuneForecast forecast;
  forecast.fingerprint_json = unknown_fingerprint;
  if (!found.model) return forecast;
  forecast.packed_bytes = found.model->tensors().tensor_bytes();
  if (problems.count() > 0) return forecast;
  problems.in("settings");
  problems.attempt([&] {
    forecast.blocks = found.model->config().blocks;
    forecast.parts = parts_of(options, files);
    count_linears(*found.model, forecast);
    forecast.notes = found.model->notes();
    std::ranges::copy(found.calibration->notes, std::back_inserter(forecast.notes));
    count_windows(options, *found.calibration, forecast);
    forecast.mesh = choose_mesh(options, forecast.blocks, ranks);
    estimate_resources(options, *found.model, threads, forecast);
    forecast.fingerprint_json = make_fingerprint(options, forecast, files, *found.model,
                                                 *found.teacher, found.calibration->windows);
  });
  return forecast;
}

void look_at_folders(const TuneOptions& options, const TuneForecast& forecast, Files& files,
                     Problems& problems) {
  problems.in("folders");
  const JobFolders folders = job_folders(options, forecast);
  // This comes first, because the messages of the next checks may tell the user to remove a folder.
  if (!problems.attempt([&] { check_places(folders, files); })) return;
  if (!problems.attempt([&] {
        check_output(options.output_dir, files, tuning_record, forecast.fingerprint_json);
      })) {
    return;
  }
  problems.attempt([&] { check_folders(folders, files); });
}

}  // namespace

CheckedTune check_tune(const TuneOptions& options, Files& files, int ranks, int threads) {
  Problems problems;
  problems.in("settings");
  check_settings(options, problems);
  // Reading and verifying take long: not before the result has a place to go to.
  problems.in("folders");
  if (!problems.attempt([&] { check_places(job_folders(options, TuneForecast()), files); })) {
    problems.throw_if_any();
  }
  Found found;
  look_at_models(options, files, found, problems);
  look_at_calibration(options, files, found, problems);
  if (!options.corpus.empty() && found.calibration) keep_held_out(*found.calibration);
  TuneForecast forecast = make_forecast(options, files, found, ranks, threads, problems);
  if (!options.corpus.empty() && problems.count() == 0) {
    look_at_corpus(options, files, found.model->config(), forecast, problems);
  }
  look_at_folders(options, forecast, files, problems);
  problems.throw_if_any();
  return {options,
          std::move(forecast),
          std::move(*found.model),
          std::move(found.hashes),
          std::move(*found.teacher),
          std::move(found.calibration->windows)};
}

}  // namespace bitmill
