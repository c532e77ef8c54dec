#include "pipeline/tune_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_layout.hpp"
#include "format/packed_linear.hpp"
#include "format/partial_folder.hpp"
#include "pipeline/assemble.hpp"
#include "pipeline/fingerprint.hpp"
#include "pipeline/folders_check.hpp"
#include "pipeline/preflight.hpp"
#include "pipeline/sample_share.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

void check_settings(const TuneOptions& options) {
  const auto check = [](bool fine, const char* option, const std::string& value,
                        const char* allowed) {
    BITMILL_CHECK(fine, UsageError, fmt::format("{} is {}: it must be {}", option, value, allowed));
  };
  check(options.samples >= 2, "--samples", fmt::to_string(options.samples),
        "at least 2: one is held out");
  check(options.epochs >= 1, "--epochs", fmt::to_string(options.epochs), "at least 1");
  check(options.batch >= 1, "--batch", fmt::to_string(options.batch), "at least 1");
  check(std::isfinite(options.rate) && options.rate > 0, "--lr", fmt::to_string(options.rate),
        "a finite number above 0");
  check(options.held_out.numerator > 0, "--held-out", options.held_out.text(),
        "above 0: without windows to compare on, nobody knows whether anything was gained");
}

void check_packed(Files& files, const std::string& folder) {
  BITMILL_CHECK(is_packed_folder(files, folder), UsageError,
                fmt::format("{} is not packed: tune what `bitmill quantize` made of it, and give "
                            "it as --reference",
                            folder));
  verify_packed_folder(files, folder, {});
}

void check_reference(Files& files, const std::string& folder) {
  BITMILL_CHECK(
      !is_packed_folder(files, folder), UsageError,
      fmt::format("--reference {} is packed: give the 16-bit model it was made from", folder));
}

// The teacher may have other weights, but must be of the student's making.
void check_same_shape(const SourceModel& model, const SourceModel& teacher) {
  const ModelConfig &a = model.config(), &b = teacher.config();
  std::vector<std::string> differences;
  const auto compare = [&](const char* what, const auto& in_model, const auto& in_teacher) {
    if (in_model == in_teacher) return;
    differences.push_back(fmt::format("{} is {} there and {} here", what, in_teacher, in_model));
  };
  compare("the architecture", a.family->architecture, b.family->architecture);
  compare("the number of blocks", a.blocks, b.blocks);
  compare("the hidden size", a.hidden_size, b.hidden_size);
  compare("the intermediate size", a.intermediate_size, b.intermediate_size);
  compare("the number of heads", a.heads, b.heads);
  compare("the number of key-value heads", a.kv_heads, b.kv_heads);
  compare("the head size", a.head_dim, b.head_dim);
  compare("the vocabulary", a.vocab_size, b.vocab_size);
  BITMILL_CHECK(differences.empty(), UsageError,
                fmt::format("{} is not the model that {} was made from: {}", teacher.folder(),
                            model.folder(), fmt::join(differences, "; ")));
}

void count_linears(const SourceModel& model, TunePlan& plan) {
  for (const std::string& name : packed_names(model.tensors())) {
    const PackedShape shape = read_packed_shape(model.tensors(), name);
    ++plan.linears;
    plan.factors += 2 * shape.rows + shape.cols - shape.salient_cols;
  }
}

void cut_windows(const TuneOptions& options, const Windows& windows, TunePlan& plan) {
  plan.seq_len = windows.seq_len;
  plan.held_out = std::max<int64_t>(1, options.held_out.floor_times(windows.count));
  plan.train = windows.count - plan.held_out;
  BITMILL_CHECK(plan.train >= options.batch, UsageError,
                fmt::format("--batch {} is more than the {} windows that are trained on ({} of {} "
                            "are held out); lower it, or raise --samples",
                            options.batch, plan.train, plan.held_out, windows.count));
  plan.steps_per_epoch = (plan.train + options.batch - 1) / options.batch;
}

Mesh choose_mesh(const TuneOptions& options, int64_t blocks, int ranks) {
  const int stages = options.stages;
  BITMILL_CHECK(stages >= 1 && stages <= blocks && ranks % stages == 0, UsageError,
                fmt::format("--stages is {}: it must divide the {} ranks there are, and be at most "
                            "the {} blocks",
                            stages, ranks, blocks));
  return {stages, ranks / stages};
}

std::string make_fingerprint(const TuneOptions& options, const SourceModel& model,
                             const SourceModel& teacher, const Windows& windows) {
  return json{
      {"job", "tune"},
      {"arithmetic_version", arithmetic_version},
      {"format_version", packed::format_version},
      {"model", {{"blocks", model.config().blocks}, {"tensors", hash_shapes(model.tensors())}}},
      {"reference", hash_shapes(teacher.tensors())},
      {"windows", windows.hash()},
      {"epochs", options.epochs},
      {"batch", options.batch},
      {"lr", options.rate},
      {"held_out", options.held_out.text()}}
      .dump();
}

JobFolders job_folders(const TuneOptions& options, const TunePlan& plan) {
  JobFolders folders = common_folders(options, plan);
  folders.models = {{"--model", options.model}, {"--reference", options.reference}};
  folders.state_bytes = plan.state_bytes;
  folders.rank_scratch_bytes = plan.scratch_bytes;
  folders.scratch_bytes = plan.scratch_bytes * plan.mesh.ranks();
  return folders;
}

// Packed blocks of the stage; one block as float32 and again as operands; both heads; streams; for
// every thread the activations of a sample within a block and the logits of 256 positions, four
// times; factors, their moments and gradients.
void estimate_resources(const TuneOptions& options, const SourceModel& model, int threads,
                        TunePlan& plan) {
  constexpr int64_t float_bytes = 4;
  const ModelConfig& config = model.config();
  const int stages = plan.mesh.stages, replicas = plan.mesh.replicas;
  int64_t weights = 0, activations = 0;
  for (const LinearShape& shape : block_linears(config, 0)) {
    weights += shape.rows * shape.cols * float_bytes;
    activations += 2 * (shape.rows + shape.cols) * plan.seq_len * float_bytes;
  }
  const int64_t sample = plan.seq_len * config.hidden_size * float_bytes;
  const SampleShare busiest(plan.train, options.batch, replicas, replicas - 1);
  const int64_t own_of_batch = (options.batch + replicas - 1) / replicas;
  const int64_t blocks = (plan.blocks + stages - 1) / stages;
  const int64_t streams = sample * (2 * (busiest.own_count() + plan.held_out / replicas + 1) +
                                    own_of_batch * (blocks + 1));
  const int64_t in_memory =
      options.stream_memory > 0 ? std::min(options.stream_memory, streams) : streams;
  plan.scratch_bytes = streams - in_memory;
  const int64_t logits = 4 * std::min<int64_t>(256, plan.seq_len) * config.vocab_size * float_bytes;
  const int64_t head = config.vocab_size * config.embedding_size * float_bytes;
  // Factors, their moments and the best ones, and the losses of an epoch; twice while a file is
  // being replaced.
  plan.state_bytes = 2 * (4 * plan.factors + plan.train) * float_bytes;
  const int64_t factors = plan.factors / stages * float_bytes * (6 + own_of_batch);
  plan.peak_memory_bytes = library_memory + model.tensors().tensor_bytes() / stages +
                           9 * weights / 4 + 2 * head + in_memory +
                           threads * (activations + logits) + factors;
}

}  // namespace

WorkFolder work_folder(const TuneOptions& options) {
  return {options.work_dir, options.resume, {}, false, options.allow_mixed_hardware};
}

CheckedTune check_tune(const TuneOptions& options, Files& files, int ranks, int threads) {
  check_settings(options);
  check_packed(files, options.model);
  check_reference(files, options.reference);
  SourceModel model(files, options.model), teacher(files, options.reference);
  check_same_shape(model, teacher);
  check_companions(files, options.model);
  Calibration calibration =
      read_calibration({options.calib, options.model, options.samples, options.samples_by_hand,
                        options.seq_len, options.seed},
                       files, model.config());
  check_sequence_length(teacher.config(), options.reference, calibration.windows.seq_len);
  TunePlan plan;
  plan.blocks = model.config().blocks;
  count_linears(model, plan);
  cut_windows(options, calibration.windows, plan);
  plan.mesh = choose_mesh(options, plan.blocks, ranks);
  plan.packed_bytes = model.tensors().tensor_bytes();
  estimate_resources(options, model, threads, plan);
  plan.fingerprint_json = make_fingerprint(options, model, teacher, calibration.windows);
  const JobFolders folders = job_folders(options, plan);
  check_places(folders, files);  // first: what follows may advise to remove a folder
  check_output(options.output_dir, files, tuning_record, plan.fingerprint_json);
  check_folders(folders, files);
  return {std::move(plan), std::move(model), std::move(teacher), std::move(calibration.windows)};
}

TunePlan plan_tune(const TuneOptions& options, Files& files, int ranks, int threads) {
  return check_tune(options, files, ranks, threads).plan;
}

}  // namespace bitmill
