#pragma once
// How a chain stands, seen from outside: reads its folder and those of its parts, asks no process,
// and changes nothing.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "pipeline/folder/run_status.hpp"

namespace bitmill {

struct ChainPartStatus {
  std::string name;        // as in the config: "preprocess", "quantize", "tune", "eval"
  std::string work_dir;    // where its run is; of "eval" empty
  std::string output_dir;  // of "eval" empty
  bool done = false;
};

struct ChainStatus {
  RunPhase phase = RunPhase::stopped;
  std::vector<ChainPartStatus> parts;
  size_t current = 0;            // the first part that is not done; parts.size(): none
  std::optional<RunStatus> run;  // of that part, where it has begun
  std::string run_dir;           // the work folder of that run
  int64_t measured = 0;  // folders; until the chain is done, those of older configurations, too
  int64_t folders_to_measure = 0;
  std::optional<HolderRecord> holder;  // of the chain
  std::string failure;     // of the chain or of the current part, if another start would fail, too
  int starts_in_vain = 0;  // in a row, before the last one
};

// REQUIRES: holds_chain(work_dir). FormatError names a damaged file. Watches a beat for up to
// timing.stale_after, that of the part again.
ChainStatus read_chain_status(Files& files, const std::string& work_dir, const ClaimTiming& timing);

// A row for each part, then how the current one stands.
std::string chain_status_table(const ChainStatus& status);

}  // namespace bitmill
