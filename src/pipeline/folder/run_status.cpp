#include "pipeline/folder/run_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"
#include "checkpoint/layout.hpp"
#include "checkpoint/run_dir.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// The largest number of blocks or epochs that is believed: far more than any run has, and few
// enough to look at each.
constexpr int64_t most_of_anything = 100'000;

struct Extent {
  std::string job;
  int64_t blocks = 0;
  int epochs = 0;
  int turns = 1;
  int64_t steps = 0;  // of `preprocess`
};

constexpr const char* quantize_job = "quantize";
constexpr const char* tune_job = "tune";
constexpr const char* preprocess_job = "preprocess";

// The job of a run of which only the reason of its failure is left; empty where that does not tell.
std::string job_of(const std::string& fingerprint_json) {
  const json fingerprint = json::parse(fingerprint_json, nullptr, /*allow_exceptions=*/false);
  if (!fingerprint.is_object()) return "";
  for (const char* job : {tune_job, preprocess_job}) {
    if (fingerprint.value("job", json()) == job) return job;
  }
  return quantize_job;
}

Extent read_extent(const RunState& state) {
  const std::string where = state.path() + ": the fingerprint of the run";
  const json fingerprint = parse_json(state.record().fingerprint_json, where);
  const auto count = [&](const json& object, const char* key, int64_t least) {
    const int64_t value = json_int(object, key, where);
    BITMILL_CHECK(least <= value && value <= most_of_anything, FormatError,
                  fmt::format("{}: \"{}\" cannot be {}", where, key, value));
    return value;
  };
  Extent extent;
  const std::string job = json_string_or(fingerprint, "job", quantize_job, where);
  if (job == tune_job || job == preprocess_job) {
    // These save the whole model as one block.
    extent = {job, 1, static_cast<int>(count(fingerprint, "epochs", 1)), 1};
    if (job == preprocess_job) extent.steps = json_int(fingerprint, "steps", where);
    return extent;
  }
  extent.job = quantize_job;
  extent.blocks = count(fingerprint.value("model", json()), "blocks", 1);
  const int64_t most = count(fingerprint, "max_blocks", 0);
  if (most > 0) extent.blocks = std::min(extent.blocks, most);
  extent.epochs = static_cast<int>(count(fingerprint, "epochs", 1));
  extent.turns = extent.epochs / static_cast<int>(count(fingerprint, "lag", 1));
  BITMILL_CHECK(extent.turns >= 1, FormatError,
                fmt::format("{}: the lag is more than its {} epochs", where, extent.epochs));
  return extent;
}

// What the lines of the run tell about speed and losses. Those that are no JSON are skipped.
struct Logged {
  int64_t epochs = 0;
  double seconds = 0;
  int64_t last_epoch = -1;
  std::optional<double> last_loss, last_held_out;
  std::deque<std::string> last_events;
};
Logged read_log(Files& files, const std::string& work_dir) {
  Logged logged;
  for (const std::string& line : read_events(files, work_dir)) {
    const json event = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!event.is_object()) continue;
    logged.last_events.push_back(line);
    if (logged.last_events.size() > most_last_events) logged.last_events.pop_front();
    if (!event.contains("epoch")) continue;
    ++logged.epochs;
    if (event.contains("seconds") && event["seconds"].is_number()) {
      logged.seconds += event["seconds"].get<double>();
    }
    if (event.contains("loss") && event["loss"].is_number()) logged.last_loss = event["loss"];
    if (event["epoch"].is_number_integer()) logged.last_epoch = event["epoch"].get<int64_t>();
    logged.last_held_out.reset();
    if (event.contains("held_out") && event["held_out"].is_number()) {
      logged.last_held_out = event["held_out"].get<double>();
    }
  }
  return logged;
}

// Fills blocks_done and live; returns the number of committed epochs.
int64_t read_blocks(const RunState& state, const Extent& extent, RunStatus& status) {
  int64_t epochs = 0;
  for (int block = 0; block < extent.blocks; ++block) {
    if (state.has_packed(block, extent.turns - 1)) {
      ++status.blocks_done;
      epochs += extent.epochs;
    } else if (state.has_live(block)) {
      const Progress progress = state.live_progress(block);
      status.live.push_back({block, progress.epochs});
      epochs += progress.epochs;
    }
  }
  return epochs;
}

// A start that runs meanwhile may remove files.
int64_t kept_stream_bytes(Files& files, const std::string& state_path) {
  const std::string folder = join_path(state_path, layout::streams);
  int64_t bytes = 0;
  if (!files.is_directory(folder)) return bytes;
  for (const std::string& name : files.list(folder)) {
    try {
      if (name.ends_with(".safetensors")) bytes += files.open(join_path(folder, name))->size();
    } catch (const FileError&) {
    }
  }
  return bytes;
}

// When the run is done, only the log tells how many epochs it took.
TuningStatus tuning_status(const Extent& extent, const RunStatus& status, const Logged& logged,
                           bool finished) {
  TuningStatus tuning;
  tuning.epochs_most = extent.epochs;
  tuning.held_out_kl = logged.last_held_out;
  if (finished) {
    const int64_t last = std::clamp<int64_t>(logged.last_epoch, -1, extent.epochs - 1);
    tuning.epochs_done = static_cast<int>(last + 1);
  } else if (!status.live.empty()) {
    tuning.epochs_done = status.live.front().epoch;
  }
  return tuning;
}

PreprocessStatus preprocess_status(const RunState& state, const Extent& extent,
                                   const Logged& logged, bool finished) {
  PreprocessStatus status{0, extent.steps, logged.last_held_out};
  if (finished) {
    status.steps_done = extent.steps;
  } else if (state.has_live(0)) {
    status.steps_done = state.live_progress(0).steps;
  }
  return status;
}

}  // namespace

std::string failure_of_a_rank(Files& files, const std::string& work_dir) {
  const std::string path = join_path(work_dir, layout::trouble);
  if (!files.exists(path)) return "";
  const json trouble = json::parse(read_text(files, path), nullptr, /*allow_exceptions=*/false);
  if (!trouble.is_object() || trouble.value("kind", json()) != "failed") return "";
  const json exit_code = trouble.value("exit_code", json());
  if (exit_code != 1 && exit_code != 2) return "";  // 75 means: worth another start
  const json blamed = trouble.value("blamed", json());
  const bool named = blamed.is_array() && !blamed.empty() && blamed[0].is_number_integer();
  // The reason is in the output of the job.
  return fmt::format("{} ended with {}; the output of the job says why",
                     named ? fmt::format("rank {}", blamed[0].get<int64_t>()) : "a rank",
                     exit_code.get<int>());
}

RunStatus read_status(Files& files, const std::string& work_dir, const ClaimTiming& timing) {
  const Occupancy occupancy = inspect_work_dir(files, work_dir);
  const auto found = find_state(files, work_dir);
  RunStatus status;
  if (found) status.failure = read_failure(RunState(files, found->path)).error;
  if (status.failure.empty()) status.failure = failure_of_a_rank(files, work_dir);
  BITMILL_CHECK(found && (occupancy != Occupancy::nothing || !status.failure.empty()), UsageError,
                fmt::format("{} holds no run; give the --work-dir of one (by default the output "
                            "folder's name with .work added)",
                            work_dir));
  const RunState state(files, found->path);
  status.holder = read_holder(files, found->path);
  if (occupancy == Occupancy::nothing) {
    status.phase = RunPhase::failed;
    status.job = job_of(read_failure(state).fingerprint_json);
    return status;
  }
  const Extent extent = read_extent(state);
  status.job = extent.job;
  status.blocks_total = extent.blocks;
  status.kept_stream_bytes = kept_stream_bytes(files, found->path);
  const Logged logged = read_log(files, work_dir);
  status.last_loss = logged.last_loss;
  status.last_events.assign(logged.last_events.begin(), logged.last_events.end());
  const bool finished = occupancy == Occupancy::finished;
  const int64_t left =
      finished ? 0 : extent.blocks * extent.epochs - read_blocks(state, extent, status);
  if (extent.job == tune_job) status.tuning = tuning_status(extent, status, logged, finished);
  if (extent.job == preprocess_job) {
    status.preprocess = preprocess_status(state, extent, logged, finished);
  }
  if (finished) {
    status.phase = RunPhase::done;
    status.blocks_done = extent.blocks;
    return status;
  }
  if (logged.epochs > 0) {
    status.epoch_s = logged.seconds / static_cast<double>(logged.epochs);
    status.eta_s = *status.epoch_s * static_cast<double>(left);
  }
  const bool released = status.holder && status.holder->released;
  if (!released && is_alive(files, found->path, timing)) {
    status.phase = RunPhase::running;
  } else if (!status.failure.empty()) {
    status.phase = RunPhase::failed;
  }
  return status;
}

}  // namespace bitmill
