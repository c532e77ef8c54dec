#include "pipeline/checks/preflight.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "base/error.hpp"
#include "base/pieces.hpp"
#include "data/windows.hpp"
#include "format/companions.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_linear.hpp"
#include "pipeline/blocks/live_file_size.hpp"
#include "pipeline/checks/doctor.hpp"
#include "pipeline/checks/selection_check.hpp"
#include "pipeline/checks/workload.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "schedule/cost_model.hpp"
#include "schedule/plan.hpp"
#include "schedule/rank_memory.hpp"
#include "schedule/resume.hpp"
#include "schedule/simulate.hpp"

namespace bitmill {
namespace {

std::string range_problem(const char* option, const std::string& value, const char* allowed) {
  return fmt::format("{} is {}: it must be {}", option, value, allowed);
}

}  // namespace

void check_settings(const QuantizeOptions& options, Problems& problems) {
  const auto check_range = [&](bool fine, const char* option, const std::string& value,
                               const char* allowed) {
    if (!fine) problems.add_usage(range_problem(option, value, allowed));
  };
  check_range(options.samples >= 1, "--samples", fmt::to_string(options.samples), "at least 1");
  check_range(options.epochs >= 1, "--epochs", fmt::to_string(options.epochs), "at least 1");
  check_range(options.batch >= 1, "--batch", fmt::to_string(options.batch), "at least 1");
  check_range(options.seq_len == 0 || options.seq_len >= 2, "--seq-len",
              fmt::to_string(options.seq_len), "at least 2");
  check_range(options.max_blocks >= 0, "--max-blocks", fmt::to_string(options.max_blocks),
              "at least 0 (0 means all)");
  check_range(options.max_shard_bytes >= 1, "--max-shard-size",
              fmt::to_string(options.max_shard_bytes), "at least one byte");
  const MethodSettings& method = options.method;
  for (const auto& [option, value] :
       {std::pair{"--lr-scale", method.lr_scale}, std::pair{"--lr-gain", method.lr_gain},
        std::pair{"--lr-sign", method.lr_sign}, std::pair{"--lr-mean", method.lr_mean},
        std::pair{"--lr-code-scale", method.lr_code_scale},
        std::pair{"--loss-normal", method.loss.normal},
        std::pair{"--loss-homologous", method.loss.homologous}}) {
    check_range(std::isfinite(value) && value >= 0, option, fmt::to_string(value),
                "a finite number, 0 or more");
  }
  check_range(method.loss.normal > 0 || method.loss.homologous > 0, "--loss-normal", "0",
              "above 0 where --loss-homologous is 0");
  if (!options.ignore.problem().empty()) problems.add_usage(options.ignore.problem());
  if (options.epochs < 1) return;
  problems.attempt([&] { check_lag(options.epochs, options.lag); });
}

namespace {

// Counts the packed linears and their bytes, exactly.
void count_packed(const QuantizeOptions& options, const SourceModel& model,
                  QuantizeForecast& forecast) {
  const ModelConfig& config = model.config();
  int64_t source_linear_bytes = 0, bits = 0;
  forecast.blocks = blocks_to_pack(options, model.config());
  for (int64_t block = 0; block < forecast.blocks; ++block) {
    for (const LinearShape& shape : block_linears(config, block)) {
      if (is_kept(options, block, shape.tensor)) continue;
      const int64_t salient = options.method.salient_ratio.salient_of(shape.cols);
      bits += stored_bits(shape.rows, shape.cols, salient);
      source_linear_bytes += model.tensors().info(shape.tensor).bytes;
      forecast.linear_weights += shape.rows * shape.cols;
      ++forecast.linears;
    }
  }
  BITMILL_CHECK(forecast.linears > 0, UsageError,
                fmt::format("--ignore \"{}\" leaves no linear to quantize", options.ignore.text()));
  for (const std::string& name : model.tensors().names()) {
    forecast.parameters += model.tensors().info(name).elements();
  }
  forecast.source_bytes = model.tensors().tensor_bytes();
  forecast.turn_bytes = bits / 8;
  forecast.packed_bytes = forecast.source_bytes - source_linear_bytes + forecast.turn_bytes;
  forecast.bits_per_weight =
      static_cast<double>(bits) / static_cast<double>(forecast.linear_weights);
}

// Replicas: as many as options.replicas says, else as many as the ranks allow, but at most one for
// every sample of a batch: more would idle.
void choose_mesh(const QuantizeOptions& options, int ranks, QuantizeForecast& forecast) {
  const int stages = std::max(1, options.stages);
  BITMILL_CHECK(
      stages <= ranks, UsageError,
      fmt::format("--stages is {}: it must be at most the {} ranks there are", stages, ranks));
  const int most = static_cast<int>(std::min<int64_t>(options.batch, ranks / stages));
  BITMILL_CHECK(options.replicas <= most, UsageError,
                fmt::format("{} replicas in each of {} stages were asked for: {} ranks and a batch "
                            "of {} allow at most {}",
                            options.replicas, stages, ranks, options.batch, most));
  forecast.mesh = {stages, options.replicas > 0 ? options.replicas : most};
  forecast.walk = options.walk == Walk::automatic ? Walk::sweep : options.walk;
}

// The workload with what is known exactly after calibration and weights were looked at.
Workload known_workload(const QuantizeOptions& options, const SourceModel& model,
                        const QuantizeForecast& forecast) {
  QuantizeOptions known = options;
  known.samples = forecast.samples;
  known.seq_len = forecast.seq_len;
  Workload work = workload_of(known, model.config());
  work.state_bytes = live_file_bytes(options, model.config());
  return work;
}

// Memory of the busiest rank, where states are saved `beside` training or not.
Simulation simulate_saving(const Plan& plan, Workload work, const Machine& machine,
                           const Mesh& mesh, bool beside) {
  work.save_beside = beside;
  return simulate_training(plan, stage_costs(work, machine, mesh));
}

// The part of the disk that streams take which a stop keeps.
void count_kept_streams(const ResumeCosts& costs, QuantizeForecast& forecast) {
  const bool keeps = costs.keeps(forecast.blocks - 1);
  const int64_t before = forecast.kept_bytes;
  forecast.kept_bytes = keeps ? costs.streams_bytes : 0;
  forecast.kept_from_block = keeps ? costs.blocks_worth_keeping() : 0;
  forecast.disk_bytes += forecast.kept_bytes - before;
}

const char* what_a_device_needs_less_with(Dtype dtype) {
  return dtype == Dtype::float32 ? "set a shorter --seq-len, or take --dtype bfloat16"
                                 : "or set a shorter --seq-len";
}

// Forecasts memory and disk. UsageError when a rank would need more memory than --memory-limit,
// whoever chose mesh and walk. Where only the copy of a block's state is too much, there is none.
void estimate_resources(const QuantizeOptions& options, const SourceModel& model, int threads,
                        QuantizeForecast& forecast) {
  const Workload work = known_workload(options, model, forecast);
  Machine machine;
  machine.samples_at_once = threads;
  hold_as_the_backend_does(options, machine);
  const Plan schedule = plan_of(options, forecast);
  forecast.save_beside = options.save_beside;
  Simulation simulation =
      simulate_saving(schedule, work, machine, forecast.mesh, forecast.save_beside);
  const PlanCosts costs = stage_costs(work, machine, forecast.mesh);
  const MemoryLimits limits = {options.memory_limit, options.device_memory_limit};
  if (!find_memory_fault(simulation, costs, limits).empty()) {
    forecast.save_beside = false;
    simulation = simulate_saving(schedule, work, machine, forecast.mesh, forecast.save_beside);
  }
  forecast.stream_bytes = simulation.peak_stream_bytes();
  forecast.peak_memory_bytes = simulation.host_bytes();
  forecast.copy_bytes = forecast.save_beside ? work.state_bytes + work.packed_bytes : 0;
  const std::string fault = find_memory_fault(simulation, costs, limits);
  const bool of_device =
      costs.own_device && limits.device > 0 && simulation.peak_bytes() > limits.device;
  BITMILL_CHECK(fault.empty(), UsageError,
                fmt::format("{} ({}): raise it, {}", fault,
                            of_device ? "--device-memory-limit" : "--memory-limit",
                            of_device ? what_a_device_needs_less_with(options.dtype)
                                      : "set a lower --stream-memory, --samples, --seq-len or "
                                        "--threads, or take --walk sweep"));
  if (costs.own_device) {
    forecast.device_block_bytes = std::max(costs.resident_bytes, costs.loaded_bytes);
    forecast.device_attention_bytes = work.device.attention_bytes;
    forecast.device_arriving_bytes = costs.arriving_bytes;
    forecast.device_peak_bytes = simulation.peak_bytes();
  }
  forecast.host_stream_bytes = stream_tiers(costs, forecast.stream_bytes).memory;
  forecast.state_bytes = live_files(schedule) * work.state_bytes;
  // As if no stream lay on a GPU: how much is free there is not known yet.
  const int64_t scratch = options.stream_memory > 0
                              ? std::max<int64_t>(0, forecast.stream_bytes - options.stream_memory)
                              : 0;
  forecast.disk_bytes = forecast.packed_bytes + forecast.turns * forecast.turn_bytes +
                        forecast.state_bytes + scratch * forecast.mesh.ranks();
  count_kept_streams(options.resume_costs, forecast);
}

}  // namespace

void set_resume_costs(CheckedQuantize& checked, const ResumeCosts& costs) {
  checked.options.resume_costs = costs;
  count_kept_streams(costs, checked.forecast);
}

void hold_as_the_backend_does(const QuantizeOptions& options, Machine& machine) {
  machine.weight_bytes = static_cast<int>(dtype_bytes(options.dtype));
  if (options.backend != "cuda") {
    machine.host_fixed_bytes = 0;
    machine.fixed_bytes = std::max(machine.fixed_bytes, library_memory);
    return;
  }
  machine.host_fixed_bytes = std::max(machine.host_fixed_bytes, gpu_host_memory);
  machine.fixed_bytes = 0;  // what CUDA itself takes of a GPU is not free there
  machine.memory_bytes = options.device_memory_limit;
}

void check_companions(Files& files, const std::string& model_folder) {
  const std::vector<std::string> problems = companion_problems(files, model_folder);
  BITMILL_CHECK(problems.empty(), FormatError, fmt::format("{}", fmt::join(problems, "\n")));
}

void check_batch(const QuantizeOptions& options, int64_t samples) {
  BITMILL_CHECK(options.batch <= samples, UsageError,
                fmt::format("--batch {} is more than the {} samples there are; lower it, or raise "
                            "--samples",
                            options.batch, samples));
}

CheckedQuantize open_quantize(const QuantizeOptions& options, Files& files, int ranks,
                              int threads) {
  check_is_source(files, options.model);
  SourceModel model(files, options.model, options.reading);
  check_is_needed(options.reading, std::array<const SourceModel*, 1>{&model});
  check_companions(files, options.model);
  check_selections(options, model.config());
  Calibration calibration = read_calibration(calibration_source(options), files, model.config());

  QuantizeForecast forecast;
  forecast.notes = model.notes();
  std::ranges::move(companion_notes(files, model.tensors()), std::back_inserter(forecast.notes));
  std::ranges::copy(calibration.notes, std::back_inserter(forecast.notes));
  std::ranges::move(selection_notes(options, model.config()), std::back_inserter(forecast.notes));
  forecast.calibration_tokens = calibration.text_tokens;
  forecast.samples = calibration.windows.count;
  forecast.seq_len = calibration.windows.seq_len;
  check_batch(options, forecast.samples);
  forecast.steps_per_epoch = piece_count(forecast.samples, options.batch);
  forecast.turns = options.epochs / options.lag;
  choose_mesh(options, ranks, forecast);
  count_packed(options, model, forecast);
  estimate_resources(options, model, threads, forecast);
  forecast.fingerprint_json = make_fingerprint(options, model, calibration.windows);
  return {options, std::move(forecast), std::move(model), std::move(calibration)};
}

// Takes forecast.disk_bytes apart. It is the sum of the result, the packed linears of every turn,
// the state of live blocks, kept streams, and the scratch files of all ranks. A run does not need
// the room for kept streams: a stop keeps none where they would take the room that the next start
// must find.
JobFolders job_folders(const QuantizeOptions& options, const QuantizeForecast& forecast) {
  JobFolders folders = common_folders(options, forecast);
  folders.models = {{"--model", options.model}};
  folders.state_bytes = forecast.turns * forecast.turn_bytes + forecast.state_bytes;
  folders.scratch_bytes =
      forecast.disk_bytes - folders.result_bytes - folders.state_bytes - forecast.kept_bytes;
  folders.rank_scratch_bytes = forecast.stream_bytes - options.stream_memory;
  return folders;
}

CheckedQuantize check_quantize(const QuantizeOptions& given, Files& files, int ranks, int threads) {
  const QuantizeOptions options = resolve_lag(given);
  try {
    Problems settings;
    check_settings(options, settings);
    settings.throw_if_any();
    // Reading takes long: not before the result has a place to go to.
    check_places(job_folders(options, QuantizeForecast()), files);
    check_output(options.output_dir, files, quantize_record, unknown_fingerprint);
    CheckedQuantize checked = open_quantize(options, files, ranks, threads);
    check_output(options.output_dir, files, quantize_record, checked.forecast.fingerprint_json);
    check_folders(job_folders(options, checked.forecast), files);
    return checked;
  } catch (const Error&) {
    // Reports all problems at once, so that the user does not find them one after the other.
    const Problems all = find_problems(options, files, ranks, threads);
    if (all.count() > 1) all.throw_if_any();
    throw;
  }
}

}  // namespace bitmill
