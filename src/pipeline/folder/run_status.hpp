#pragma once
// The state of a run, seen from outside: reads the run folder, asks no process, and changes
// nothing.

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/claim.hpp"

namespace bitmill {

enum class RunPhase { running, stopped, failed, done };

struct LiveStatus {
  int block = 0;
  int epoch = 0;  // finished epochs
};

// Of a run of `tune`, where each epoch trains the whole model.
struct TuningStatus {
  int epochs_done = 0;
  int epochs_most = 0;                // it ends earlier after two epochs without gain
  std::optional<double> held_out_kl;  // nats per token, after the last logged epoch
};

// Of a run of `preprocess`.
struct PreprocessStatus {
  int64_t steps_done = 0, steps = 0;
  std::optional<double> held_out;  // nats per token, after the last measurement
};

struct RunStatus {
  RunPhase phase = RunPhase::stopped;
  // "quantize", "tune" or "preprocess"; empty where nothing in the folder tells.
  std::string job;
  std::optional<TuningStatus> tuning;
  std::optional<PreprocessStatus> preprocess;
  int64_t blocks_total = 0;
  int64_t blocks_done = 0;
  std::vector<LiveStatus> live;
  std::optional<double> last_loss;       // of the last logged epoch; for `tune` the divergence
  std::optional<double> epoch_s;         // mean seconds of the logged epochs
  std::optional<double> eta_s;           // at that pace
  int64_t kept_stream_bytes = 0;         // of files that a stop has kept for the next start
  std::vector<std::string> last_events;  // lines of blocks.jsonl, oldest first
  std::optional<HolderRecord> holder;
  std::string failure;  // why the last start failed, if another start would fail, too

  // How many starts in a row, before the last one, committed nothing.
  int starts_in_vain() const { return holder ? holder->starts_without_commit - 1 : 0; }
};
inline constexpr size_t most_last_events = 20;
// After so many starts in vain, another start is not worth trying.
inline constexpr int most_starts_in_vain = 3;

// The failure of a rank that does not hold the folder of a run or chain, if another start would
// fail, too; empty: none. The folder keeps what the watchdog wrote about the last start.
std::string failure_of_a_rank(Files& files, const std::string& work_dir);

// UsageError when the folder holds no run; FormatError names a damaged file. Watches the holder's
// beat for up to timing.stale_after, unless the claim was released.
RunStatus read_status(Files& files, const std::string& work_dir, const ClaimTiming& timing);

}  // namespace bitmill
