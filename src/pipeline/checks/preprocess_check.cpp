#include "pipeline/checks/preprocess_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "backend/backend.hpp"
#include "base/error.hpp"
#include "base/pieces.hpp"
#include "base/problems.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_layout.hpp"
#include "format/partial_folder.hpp"
#include "pipeline/adapting/adapter_trainer.hpp"
#include "pipeline/adapting/merged_folder.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/checks/reference_check.hpp"
#include "pipeline/checks/workload.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/sums/sample_share.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// The held-out text is measured so often in a run.
constexpr int64_t measures_per_run = 20;

void check_settings(const PreprocessOptions& options, Problems& problems) {
  const auto check = [&](bool fine, const char* option, const std::string& value,
                         const char* allowed) {
    if (!fine) problems.add_usage(fmt::format("{} is {}: it must be {}", option, value, allowed));
  };
  const LoraSettings& lora = options.lora;
  check(lora.rank >= 1, "--rank", fmt::to_string(lora.rank), "at least 1");
  check(std::isfinite(lora.alpha) && lora.alpha > 0, "--alpha", fmt::to_string(lora.alpha),
        "a finite number above 0");
  check(lora.dropout >= 0 && lora.dropout < 1, "--dropout", fmt::to_string(lora.dropout),
        "at least 0 and below 1");
  check(std::isfinite(lora.rate) && lora.rate > 0, "--lr", fmt::to_string(lora.rate),
        "a finite number above 0");
  check(options.warmup >= 0 && options.warmup < 1, "--warmup", fmt::to_string(options.warmup),
        "at least 0 and below 1");
  check(options.batch >= 1, "--batch", fmt::to_string(options.batch), "at least 1");
  check(options.save_every_s > 0, "--save-every", fmt::to_string(options.save_every_s),
        "above 0 seconds");
  check(options.held_out.numerator > 0, "--held-out", options.held_out.text(),
        "above 0: without text that is held out, nobody knows whether anything was gained");
  check(!options.corpus.empty(), "--corpus", "empty", "one file or several");
  if (options.backend != "cuda") problems.attempt([&] { make_backend(options.backend); });
}

std::string_view word_of_role(const ModelConfig& config, LinearRole role) {
  return config.family->linears[static_cast<size_t>(config.family->position(role))].name;
}

// Whether the adapters fit the model.
void check_adapters(const PreprocessOptions& options, const ModelConfig& config) {
  const bool gated = config.family->is_gated();
  for (const std::string& word : options.named_targets) {
    const bool of_gated = word == "gate" || word == "up" || word == "down";
    const bool of_plain = word == "fc1" || word == "fc2";
    BITMILL_CHECK(gated ? !of_plain : !of_gated, UsageError,
                  fmt::format("--targets: blocks of {} have no {}; their linears are {}",
                              config.family->architecture, word,
                              gated ? "q, k, v, o, gate, up and down" : "q, k, v, o, fc1 and fc2"));
  }
  std::vector<std::string> problems;
  for (const LinearShape& shape : block_linears(config, 0)) {
    if (!options.lora.targets.contains(shape.role)) continue;
    if (options.lora.rank <= std::min(shape.rows, shape.cols)) continue;
    problems.push_back(
        fmt::format("{} is {} x {}", word_of_role(config, shape.role), shape.rows, shape.cols));
  }
  BITMILL_CHECK(problems.empty(), UsageError,
                fmt::format("--rank {} is above the largest rank that a weight can have: {}; give "
                            "a smaller --rank, or leave these out of --targets",
                            options.lora.rank, fmt::join(problems, ", ")));
  const bool any = std::ranges::any_of(block_linears(config, 0), [&](const LinearShape& shape) {
    return options.lora.targets.contains(shape.role);
  });
  BITMILL_CHECK(any, UsageError, "--targets names no linear of this model");
}

Mesh choose_mesh(const PreprocessOptions& options, int64_t blocks, int ranks) {
  const int stages = options.stages;
  BITMILL_CHECK(stages >= 1 && stages <= blocks && ranks % stages == 0, UsageError,
                fmt::format("--stages is {}: it must divide the {} ranks there are, and be at most "
                            "the {} blocks",
                            stages, ranks, blocks));
  return {stages, ranks / stages};
}

std::vector<std::string> target_words(const PreprocessOptions& options, const ModelConfig& config) {
  std::vector<std::string> words;
  for (const LinearShape& shape : block_linears(config, 0)) {
    if (options.lora.targets.contains(shape.role)) {
      words.emplace_back(word_of_role(config, shape.role));
    }
  }
  return words;
}

// Without the text: preprocess() adds "corpus".
std::string make_fingerprint(const PreprocessOptions& options, const PreprocessForecast& forecast,
                             const SourceModel& base, const SourceModel& original) {
  const LoraSettings& lora = options.lora;
  json fingerprint = {{"job", "preprocess"},
                      {"arithmetic_version", arithmetic_version},
                      {"base", json::parse(describe_model(base))},
                      {"model", json::parse(describe_model(original))},
                      {"rank", lora.rank},
                      {"alpha", lora.alpha},
                      {"dropout", lora.dropout},
                      {"targets", target_words(options, base.config())},
                      {"lr", lora.rate},
                      {"weight_decay", adapter_decay},
                      {"steps", forecast.steps},
                      {"warmup_steps", forecast.warmup_steps},
                      {"epochs", piece_count(forecast.steps, forecast.steps_per_measure)},
                      {"batch", options.batch},
                      {"seq_len", forecast.seq_len},
                      {"loss", word_of(options.loss)},
                      {"pack", options.pack},
                      {"seed", lora.seed},
                      {"held_out", options.held_out.text()},
                      {"backend", options.backend}};
  if (options.dtype != Dtype::float32) fingerprint["dtype"] = dtype_word(options.dtype);
  return fingerprint.dump();
}

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

// The tensors of a base in which every linear is packed.
int64_t usual_base_bytes(const ModelConfig& config) {
  constexpr int64_t half_bytes = 2;
  const Workload work = workload_of(QuantizeOptions(), config);
  return config.blocks * work.packed_bytes + half_bytes * outer_elements(config);
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
    samples += 2 * piece_count(std::max(sequences_of_teacher, options.batch), replicas) +
               piece_count(most_held_out, replicas);
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

}  // namespace

PreprocessForecast forecast_preprocess(const PreprocessOptions& options, const ModelConfig& config,
                                       int64_t base_bytes, const Mesh& mesh, int threads) {
  PreprocessForecast forecast;
  forecast.mesh = mesh;
  count_steps(options, config, forecast);
  if (base_bytes == 0) base_bytes = usual_base_bytes(config);
  const std::vector<LinearShape> linears = block_linears(config, 0);
  int64_t weights = 0;
  for (const LinearShape& shape : linears) weights += shape.rows * shape.cols * float_bytes;
  const int64_t sample = forecast.seq_len * config.hidden_size * float_bytes;
  const int64_t streams = stream_bytes(options, forecast, sample);
  const int64_t in_memory =
      options.stream_memory > 0 ? std::min(options.stream_memory, streams) : streams;
  forecast.scratch_bytes = streams - in_memory;
  // Values and both moments, twice while the file is being replaced.
  constexpr int64_t state_vectors = 3;
  forecast.state_bytes =
      2 * (state_vectors * forecast.values + forecast.steps * options.batch) * float_bytes;
  const int64_t lanes = std::min<int64_t>(
      threads, std::min(piece_count(options.batch, mesh.replicas), most_in_micro_batch));
  const bool teaches = options.loss == TrainingLoss::divergence;
  const int64_t logits = (teaches ? 4 : 3) * std::min(tokens_per_tile, forecast.seq_len) *
                         config.vocab_size * float_bytes;
  const int64_t head = config.vocab_size * config.embedding_size * float_bytes;
  const int64_t packed_blocks = (base_bytes - 2 * outer_elements(config)) / config.blocks *
                                piece_count(config.blocks, mesh.stages);
  forecast.peak_memory_bytes =
      library_memory + std::max<int64_t>(0, packed_blocks) + weights + (teaches ? 2 : 1) * head +
      std::max(threads * logits, lanes * (activation_bytes(linears, forecast.seq_len) +
                                          adapter_input_bytes(options, linears, forecast.seq_len)) +
                                     threads * product_bytes(linears)) +
      in_memory + most_in_micro_batch * sample +
      sent_ahead_bytes(mesh.stages, piece_count(options.batch, mesh.replicas), sample) +
      adapter_bytes(options, forecast);
  forecast.fingerprint_json = unknown_fingerprint;
  return forecast;
}

CorpusOptions corpus_options(const PreprocessOptions& options, const PreprocessForecast& forecast,
                             const ModelConfig& config) {
  CorpusOptions corpus;
  corpus.paths = options.corpus;
  corpus.text_key = options.text_key;
  corpus.model_folder = options.model;
  corpus.vocab_size = config.vocab_size;
  corpus.seq_len = forecast.seq_len;
  corpus.cut = options.pack ? CorpusCut::packed : CorpusCut::documents;
  corpus.wanted = forecast.steps * options.batch;
  corpus.seed = options.lora.seed;
  corpus.held_out_numerator = options.held_out.numerator;
  corpus.held_out_denominator = options.held_out.denominator;
  corpus.scratch_dir = options.corpus_dir;
  return corpus;
}

JobFolders job_folders(const PreprocessOptions& options, const PreprocessForecast& forecast) {
  JobFolders folders;
  folders.models = {{"--model", options.model}};
  if (!options.packed.empty()) folders.models.emplace_back("--packed", options.packed);
  for (const std::string& path : options.corpus) folders.models.emplace_back("--corpus", path);
  folders.calib = options.corpus.empty() ? options.model : options.corpus.front();
  folders.output_dir = options.output_dir;
  folders.scratch_dir = options.scratch_dir;
  folders.work = work_folder(options);
  folders.fingerprint_json = unknown_fingerprint;  // the text is not known yet
  folders.result_bytes = forecast.result_bytes;
  folders.state_bytes = forecast.state_bytes;
  folders.rank_scratch_bytes = forecast.scratch_bytes;
  folders.scratch_bytes = forecast.scratch_bytes * forecast.mesh.ranks();
  // Index and unpacked texts lie beside the work folder, or in the scratch folder.
  if (options.corpus_dir.starts_with(options.work_dir)) {
    folders.state_bytes += forecast.corpus_bytes;
  } else {
    folders.rank_scratch_bytes += forecast.corpus_bytes;
    folders.scratch_bytes += forecast.corpus_bytes;
  }
  return folders;
}

namespace {

// What the checks have found so far. What could not be read is empty.
struct Found {
  std::optional<SourceModel> base, original;
  TensorHashes hashes;
};

void look_at_models(const PreprocessOptions& options, Files& files, Found& found,
                    Problems& problems) {
  problems.in("model " + options.model);
  problems.attempt([&] {
    BITMILL_CHECK(!is_packed_folder(files, options.model), UsageError,
                  fmt::format("{} is packed: give the 16-bit model as --model, and this folder as "
                              "--packed",
                              options.model));
    found.original.emplace(files, options.model, options.reading);
    check_companions(files, options.model);
  });
  if (options.packed.empty()) return;
  problems.in("base " + options.packed);
  problems.attempt([&] {
    BITMILL_CHECK(is_packed_folder(files, options.packed), UsageError,
                  fmt::format("{} is not packed: the base is the result of `bitmill quantize`",
                              options.packed));
    found.hashes = verify_packed_folder(files, options.packed, {});
    found.base.emplace(files, options.packed, options.reading);
  });
  if (!found.base || !found.original) return;
  problems.attempt([&] { check_same_model(*found.base, *found.original); });
  problems.attempt([&] {
    check_is_needed(options.reading, std::array{&*found.base, &*found.original});
  });
}

void look_at_corpus(const PreprocessOptions& options, Files& files, const ModelConfig& config,
                    PreprocessForecast& forecast, Problems& problems) {
  problems.in("corpus");
  problems.attempt([&] {
    const CorpusDiskBytes disk =
        corpus_disk_bytes(files, corpus_options(options, forecast, config));
    forecast.corpus_bytes = disk.unpacked + disk.index;
  });
}

PreprocessForecast make_forecast(const PreprocessOptions& options, const Found& found, int ranks,
                                 int threads, Files& files, Problems& problems) {
  PreprocessForecast forecast;
  forecast.fingerprint_json = unknown_fingerprint;
  if (!found.original || problems.count() > 0) return forecast;
  const ModelConfig& config = found.original->config();
  problems.in("settings");
  problems.attempt([&] {
    check_adapters(options, config);
    if (options.seq_len > 0) {
      BITMILL_CHECK(options.seq_len >= 2 && options.seq_len <= config.context, UsageError,
                    fmt::format("--seq-len is {}: it must be at least 2, and at most the model's "
                                "context of {} tokens",
                                options.seq_len, config.context));
    }
    const Mesh mesh = choose_mesh(options, config.blocks, ranks);
    const int64_t base_bytes = found.base ? found.base->tensors().tensor_bytes() : 0;
    forecast = forecast_preprocess(options, config, base_bytes, mesh, threads);
    forecast.result_bytes = found.original->tensors().tensor_bytes();
    forecast.notes = found.original->notes();
    if (found.base) {
      forecast.fingerprint_json = make_fingerprint(options, forecast, *found.base, *found.original);
    }
  });
  if (problems.count() == 0) look_at_corpus(options, files, config, forecast, problems);
  return forecast;
}

void look_at_folders(const PreprocessOptions& options, const PreprocessForecast& forecast,
                     Files& files, Problems& problems) {
  problems.in("folders");
  const JobFolders folders = job_folders(options, forecast);
  // This comes first, because the messages of the next checks may tell the user to remove a folder.
  if (!problems.attempt([&] { check_places(folders, files); })) return;
  if (!problems.attempt([&] {
        check_output(options.output_dir, files, preprocess_record, unknown_fingerprint);
      })) {
    return;
  }
  problems.attempt([&] { check_folders(folders, files); });
}

// Everything; `found` gets what was opened.
PreprocessForecast check_all(const PreprocessOptions& options, Files& files, int ranks, int threads,
                             Found& found) {
  Problems problems;
  problems.in("settings");
  check_settings(options, problems);
  // Reading and verifying take long: not before the result has a place to go to.
  problems.in("folders");
  if (!problems.attempt([&] { check_places(job_folders(options, PreprocessForecast()), files); })) {
    problems.throw_if_any();
  }
  look_at_models(options, files, found, problems);
  PreprocessForecast forecast = make_forecast(options, found, ranks, threads, files, problems);
  look_at_folders(options, forecast, files, problems);
  problems.throw_if_any();
  return forecast;
}

}  // namespace

CheckedPreprocess check_preprocess(const PreprocessOptions& options, Files& files, int ranks,
                                   int threads) {
  Found found;
  PreprocessForecast forecast = check_all(options, files, ranks, threads, found);
  return {options, std::move(forecast), std::move(*found.base), std::move(found.hashes),
          std::move(*found.original)};
}

PreprocessForecast check_before_base(const PreprocessOptions& options, Files& files, int ranks,
                                     int threads) {
  Found found;
  return check_all(options, files, ranks, threads, found);
}

}  // namespace bitmill
