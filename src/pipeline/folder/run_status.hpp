#pragma once
// Where a run stands, seen from outside: nothing is changed, nobody is asked but the folder.

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/claim.hpp"

namespace bitmill {

enum class RunPhase { running, stopped, failed, done };

struct LiveStatus {
  int block = 0;
  int epoch = 0;  // finished
};

// Of a run that tunes, where the whole model goes through every epoch.
struct TuningStatus {
  int epochs_done = 0;
  int epochs_most = 0;                // two without gain end it before
  std::optional<double> held_out_kl;  // nats per token, after the last epoch that was logged
};

struct RunStatus {
  RunPhase phase = RunPhase::stopped;
  std::string job;  // "quantize" or "tune"; empty where nothing is left that tells
  std::optional<TuningStatus> tuning;
  int64_t blocks_total = 0;
  int64_t blocks_done = 0;
  std::vector<LiveStatus> live;
  std::optional<double> last_loss;       // of the last epoch that was logged; of a tuning its KL
  std::optional<double> epoch_s;         // mean seconds of the epochs that were logged
  std::optional<double> eta_s;           // at that pace
  std::vector<std::string> last_events;  // lines of blocks.jsonl, oldest first
  std::optional<HolderRecord> holder;
  std::string failure;  // why the last start failed for good

  // Starts in a row, the last one left out, that committed nothing.
  int starts_in_vain() const { return holder ? holder->starts_without_commit - 1 : 0; }
};
inline constexpr size_t most_last_events = 20;
// A run that was started this often in vain is not worth another start.
inline constexpr int most_starts_in_vain = 3;

// UsageError when the folder holds no run; FormatError naming a damaged file. Watches the holder's
// heartbeat for up to timing.stale_after, unless the folder was given back.
RunStatus read_status(Files& files, const std::string& work_dir, const ClaimTiming& timing);

}  // namespace bitmill
