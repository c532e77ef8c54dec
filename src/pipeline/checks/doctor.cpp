#include "pipeline/checks/doctor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "data/corpus_text.hpp"
#include "data/tokenizer.hpp"
#include "format/companions.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_linear.hpp"
#include "model/folder_check.hpp"
#include "model/tensor_prefix.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/checks/folders_check.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/job/quantize_forecast.hpp"

namespace bitmill {
namespace {

// The model's config as far as it could be read; none when config.json is missing or wrong.
std::optional<ModelConfig> look_at_model(const QuantizeOptions& options, Files& files,
                                         Problems& problems) {
  problems.in("model " + options.model);
  std::optional<ModelConfig> config;
  problems.attempt([&] { config = read_model_config(files, options.model, options.reading); });
  problems.attempt([&] { check_is_source(files, options.model); });
  problems.attempt([&] {
    std::vector<std::string> found;
    const TensorFolder tensors =
        config ? open_tensors(files, options.model, options.reading, *config->family, found)
               : TensorFolder(files, options.model, found);
    for (const std::string& problem : found) problems.add(problem);
    if (!config) return;
    for (const std::string& problem : tensor_problems(tensors, *config)) problems.add(problem);
  });
  problems.attempt([&] { check_no_adapter(files, options.model); });
  problems.attempt([&] { check_companions(files, options.model); });
  return config;
}

void look_at_calibration(QuantizeOptions options, Files& files,
                         const std::optional<ModelConfig>& config, Problems& problems) {
  // check_settings() has already reported wrong values of these two.
  options.samples = std::max<int64_t>(options.samples, 1);
  if (options.seq_len < 2) options.seq_len = 0;
  problems.in("calibration " + options.calib);
  bool needs_tokenizer = !options.calib.ends_with(".safetensors");  // where it cannot be opened
  const bool has_text = problems.attempt([&] {
    files.open(options.calib);
    needs_tokenizer = !is_token_file(files, options.calib);
  });
  const bool has_tokenizer =
      !needs_tokenizer || problems.attempt([&] { open_tokenizer(files, options.model); });
  if (!has_text || !has_tokenizer) return;
  problems.attempt([&] {
    if (config) {
      const Calibration calibration = read_calibration(calibration_source(options), files, *config);
      check_batch(options, calibration.windows.count);
      return;
    }
    // The vocabulary is not known, so any token passes. The context is not known either, so the
    // windows are cut only where the length is given.
    const Tokens tokens = read_tokens(files, options.calib, options.model,
                                      std::numeric_limits<int32_t>::max(), options.text_key);
    const int64_t seq_len = tokens.is_windows() ? tokens.window_len : options.seq_len;
    if (seq_len > 0) calibration_windows(tokens, options.samples, seq_len, options.seed);
  });
}

// The bytes that the packed linears need at least: their signs. Used where tensors or calibration
// cannot be read. 0 where config.json claims more blocks than any model has.
int64_t least_bytes(const QuantizeOptions& options, const ModelConfig& config) {
  constexpr int64_t most_blocks = 1000;
  if (config.blocks > most_blocks) return 0;
  int64_t bits = 0;
  for (int64_t block = 0; block < config.blocks; ++block) {
    for (const LinearShape& shape : block_linears(config, block)) {
      if (!is_kept(options, block, shape.tensor)) bits += stored_bits(shape.rows, shape.cols, 0);
    }
  }
  return bits / 8;
}

QuantizeForecast least_forecast(int64_t packed_bytes) {
  QuantizeForecast forecast;
  forecast.fingerprint_json = unknown_fingerprint;
  forecast.turns = 1;
  forecast.packed_bytes = forecast.turn_bytes = packed_bytes;
  forecast.disk_bytes = (1 + forecast.turns) * packed_bytes;
  return forecast;
}

}  // namespace

Problems find_problems(const QuantizeOptions& options, Files& files, int ranks, int threads) {
  Problems problems;
  problems.in("settings");
  check_settings(options, problems);
  const bool settings_are_fine = problems.count() == 0;
  const std::optional<ModelConfig> config = look_at_model(options, files, problems);
  look_at_calibration(options, files, config, problems);

  // is_kept() needs a valid --ignore expression: so only where the settings are fine.
  QuantizeForecast forecast =
      least_forecast(config && settings_are_fine ? least_bytes(options, *config) : 0);
  problems.in("settings");
  if (problems.count() == 0) {
    problems.attempt([&] { forecast = open_quantize(options, files, ranks, threads).forecast; });
  }
  problems.in("folders");
  problems.attempt(
      [&] { check_output(options.output_dir, files, quantize_record, forecast.fingerprint_json); });
  for (const std::string& problem : folder_problems(job_folders(options, forecast), files)) {
    problems.add_usage(problem);
  }
  return problems;
}

}  // namespace bitmill
