#include "pipeline/checks/tune_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "backend/backend.hpp"
#include "base/error.hpp"
#include "base/problems.hpp"
#include "data/corpus_begin.hpp"
#include "format/config_file.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_layout.hpp"
#include "format/packed_linear.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/checks/folders_check.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/checks/reference_check.hpp"
#include "pipeline/checks/tune_forecast.hpp"
#include "pipeline/checks/whole_model_check.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/tuning/tuning_text.hpp"

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
    const int64_t groups = forecast.sign_groups.count();
    if (groups > 1) fingerprint["sign_groups"] = groups;
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
  if (!options.corpus.empty()) folders.corpus_dir = options.corpus_dir;
  folders.corpus_bytes = forecast.corpus_bytes;
  folders.rank_scratch_bytes = forecast.scratch_bytes;
  folders.scratch_bytes = forecast.scratch_bytes * forecast.mesh.ranks();
  return folders;
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
    // With a corpus the key is of the corpus.
    if (!options.corpus.empty()) {
      source.text_key = key_where_lines(files, options.calib, options.text_key);
    }
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
    forecast.notes = found.model->notes();
    std::ranges::copy(found.calibration->notes, std::back_inserter(forecast.notes));
    forecast.mesh = mesh_of_stages(options.stages, found.model->config().blocks, ranks);
    forecast_tune(options, files, *found.model, *found.calibration, threads, forecast);
    forecast.fingerprint_json = make_fingerprint(options, forecast, files, *found.model,
                                                 *found.teacher, found.calibration->windows);
  });
  return forecast;
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
  look_at_folders(job_folders(options, forecast), tuning_record, files, problems);
  problems.throw_if_any();
  return {options,
          std::move(forecast),
          std::move(*found.model),
          std::move(found.hashes),
          std::move(*found.teacher),
          std::move(found.calibration->windows)};
}

TuneForecast check_before_packed(const TuneOptions& options, Files& files, int ranks) {
  Problems problems;
  problems.in("settings");
  check_settings(options, problems);
  problems.in("folders");
  problems.attempt([&] { check_places(job_folders(options, TuneForecast()), files); });
  Found found;
  problems.in("reference " + options.reference);
  problems.attempt([&] {
    check_not_packed(files, options.reference);
    // The packed model will have the tokenizer, the vocabulary and the context of the original.
    found.model.emplace(files, options.reference, options.reading);
  });
  TuneOptions of_original = options;
  of_original.model = options.reference;
  look_at_calibration(of_original, files, found, problems);
  problems.throw_if_any();
  if (!options.corpus.empty()) keep_held_out(*found.calibration);
  TuneForecast forecast;
  const ModelConfig& config = found.model->config();
  forecast.blocks = config.blocks;
  problems.in("settings");
  problems.attempt([&] {
    forecast.mesh = mesh_of_stages(options.stages, config.blocks, ranks);
    forecast_windows(options, *found.calibration, forecast);
  });
  if (!options.corpus.empty() && problems.count() == 0) {
    look_at_corpus(of_original, files, config, forecast, problems);
  }
  problems.throw_if_any();
  return forecast;
}

}  // namespace bitmill
