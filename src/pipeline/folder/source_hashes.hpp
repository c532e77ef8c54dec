#pragma once
// Hashes of the source's tensors: what a result was made from, and whether a run that goes on, or a
// rank on another host, still reads the same weights.

#include <set>
#include <string>
#include <vector>

#include "base/thread_pool.hpp"
#include "checkpoint/run_dir.hpp"
#include "comm/communicator.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Names, sorted: of one block; of all that belongs to none of the first `blocks` blocks.
std::vector<std::string> tensors_of_block(const SourceModel& model, int64_t block);
std::vector<std::string> tensors_outside(const SourceModel& model, int64_t blocks);

// Reads these tensors to their end. NumericError names the first value that is not finite.
TensorHashes hash_tensors(const SourceModel& model, const std::vector<std::string>& names,
                          ThreadPool& pool);
// Collective: the same, each tensor read by one rank; the result is on all of them.
TensorHashes hash_together(const SourceModel& model, const std::vector<std::string>& names,
                           Communicator& comm, ThreadPool& pool);

// One hash over names and hashes: how config.json names the source of a result.
std::string combined_hash(const TensorHashes& hashes);

// Looks at every block's tensors when the run reads them for the first time in this start.
class SourceGuard {
 public:
  // `comm`: the replicas of a stage. `run_dir` on its rank 0, else null. All arguments outlive it.
  SourceGuard(const SourceModel& model, Communicator& comm, ThreadPool& pool, RunDir* run_dir);

  // Collective. UsageError when a rank reads other weights than rank 0, or the run was begun with
  // others; NumericError for a value that is not finite. Does nothing when the block is known.
  void read_block(int block);

 private:
  const SourceModel& model_;
  Communicator& comm_;
  ThreadPool& pool_;
  RunDir* const run_dir_;
  std::set<int> known_;
};

// The hash of the whole source, from what the run kept of it: of `blocks` blocks and the outside.
std::string kept_source_hash(const RunState& state, int64_t blocks);

}  // namespace bitmill
