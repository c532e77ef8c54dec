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
#include "data/corpus_begin.hpp"
#include "format/packed_folder.hpp"
#include "pipeline/adapting/adapter_trainer.hpp"
#include "pipeline/adapting/merged_folder.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/checks/preprocess_forecast.hpp"
#include "pipeline/checks/reference_check.hpp"
#include "pipeline/checks/whole_model_check.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/job/fingerprint.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

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

}  // namespace

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
  folders.corpus_dir = options.corpus_dir;
  folders.corpus_bytes = forecast.corpus_bytes;
  return folders;
}

namespace {

// What the checks have found so far. What could not be read is empty.
struct FoundModels {
  std::optional<SourceModel> base, original;
  TensorHashes hashes;
};

void look_at_models(const PreprocessOptions& options, Files& files, FoundModels& found,
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

// Only their begins: they are read when the corpus is.
void look_at_evaluation(const PreprocessOptions& options, Files& files, Problems& problems) {
  for (const std::string& path : options.evaluation) {
    problems.in("evaluation " + path);
    problems.attempt([&] { key_where_lines(files, path, options.text_key); });
  }
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

PreprocessForecast checked_forecast(const PreprocessOptions& options, const ModelConfig& config,
                                    int64_t base_bytes, int ranks, int threads) {
  check_adapters(options, config);
  if (options.seq_len > 0) {
    BITMILL_CHECK(options.seq_len >= 2 && options.seq_len <= config.context, UsageError,
                  fmt::format("--seq-len is {}: it must be at least 2, and at most the model's "
                              "context of {} tokens",
                              options.seq_len, config.context));
  }
  const Mesh mesh = mesh_of_stages(options.stages, config.blocks, ranks);
  return forecast_preprocess(options, config, base_bytes, mesh, threads);
}

PreprocessForecast make_forecast(const PreprocessOptions& options, const FoundModels& found,
                                 int ranks, int threads, Files& files, Problems& problems) {
  PreprocessForecast forecast;
  forecast.fingerprint_json = unknown_fingerprint;
  if (!found.original || problems.count() > 0) return forecast;
  const ModelConfig& config = found.original->config();
  problems.in("settings");
  problems.attempt([&] {
    const int64_t base_bytes = found.base ? found.base->tensors().tensor_bytes() : 0;
    forecast = checked_forecast(options, config, base_bytes, ranks, threads);
    forecast.result_bytes = found.original->tensors().tensor_bytes();
    forecast.notes = found.original->notes();
    if (found.base) {
      forecast.fingerprint_json = make_fingerprint(options, forecast, *found.base, *found.original);
    }
  });
  if (problems.count() == 0) look_at_corpus(options, files, config, forecast, problems);
  return forecast;
}

// Everything; `found` gets what was opened.
PreprocessForecast check_all(const PreprocessOptions& options, Files& files, int ranks, int threads,
                             FoundModels& found) {
  Problems problems;
  problems.in("settings");
  check_settings(options, problems);
  if (options.corpus.empty()) {
    problems.add_usage("--corpus is empty: it must be one file or several");
  }
  // Reading and verifying take long: not before the result has a place to go to.
  problems.in("folders");
  if (!problems.attempt([&] { check_places(job_folders(options, PreprocessForecast()), files); })) {
    problems.throw_if_any();
  }
  look_at_models(options, files, found, problems);
  look_at_evaluation(options, files, problems);
  PreprocessForecast forecast = make_forecast(options, found, ranks, threads, files, problems);
  look_at_folders(job_folders(options, forecast), preprocess_record, files, problems);
  problems.throw_if_any();
  return forecast;
}

}  // namespace

CheckedPreprocess check_preprocess(const PreprocessOptions& options, Files& files, int ranks,
                                   int threads) {
  FoundModels found;
  PreprocessForecast forecast = check_all(options, files, ranks, threads, found);
  return {options, std::move(forecast), std::move(*found.base), std::move(found.hashes),
          std::move(*found.original)};
}

PreprocessForecast check_before_base(const PreprocessOptions& options, Files& files, int ranks,
                                     int threads) {
  FoundModels found;
  return check_all(options, files, ranks, threads, found);
}

PreprocessForecast check_shape(const PreprocessOptions& options, Files& files, int ranks,
                               int threads) {
  Problems problems;
  problems.in("settings");
  check_settings(options, problems);
  PreprocessForecast forecast;
  problems.attempt([&] {
    const ModelConfig config = read_model_config(files, options.model, options.reading);
    check_is_needed(options.reading, config);
    forecast = checked_forecast(options, config, /*base_bytes=*/0, ranks, threads);
  });
  problems.throw_if_any();
  return forecast;
}

}  // namespace bitmill
