#pragma once
// Hashes of the source's tensors. They tell what a result was made from, and whether a later start
// of the run, or a rank on another host, still reads the same weights.

#include <map>
#include <string>
#include <vector>

#include "base/thread_pool.hpp"
#include "checkpoint/run_dir.hpp"
#include "comm/communicator.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Sorted names of tensors: those of one block, and those outside of the first `blocks` blocks.
std::vector<std::string> tensors_of_block(const SourceModel& model, int64_t block);
std::vector<std::string> tensors_outside(const SourceModel& model, int64_t blocks);

// Reads these tensors completely. NumericError names the first value that is not finite.
TensorHashes hash_tensors(const SourceModel& model, const std::vector<std::string>& names,
                          ThreadPool& pool);
// The same, collective: each tensor is read by one rank, and every rank gets all hashes.
TensorHashes hash_together(const SourceModel& model, const std::vector<std::string>& names,
                           Communicator& comm, ThreadPool& pool);

// One hash over all names and hashes: config.json names the source of a result by it.
std::string combined_hash(const TensorHashes& hashes);

// Collective. UsageError on every rank where a rank has other hashes than rank 0. For a packed
// model in `folder`, of which every rank has verified its own copy.
void check_same_everywhere(const TensorHashes& hashes, const std::string& folder,
                           Communicator& comm);

// Checks the tensors of a block when this start reads them for the first time.
class SourceGuard {
 public:
  // `comm`: the replicas of a stage. `run_dir` on rank 0 of `comm`, else null. All arguments
  // outlive the guard.
  SourceGuard(const SourceModel& model, Communicator& comm, ThreadPool& pool, RunDir* run_dir);

  // Collective. UsageError, with job ranks, when a rank reads other weights than the first, or
  // other weights than those that the run began with; NumericError for a value that is not finite.
  // `read`: hashes of tensors that this rank holds already, with finite values; the other tensors
  // of the block are read here. When the block was checked before, only `read` is looked at, by
  // this rank alone: UsageError where it is not what was checked.
  void read_block(int block, const TensorHashes& read = {});

 private:
  void check_again(int block, const TensorHashes& read) const;

  const SourceModel& model_;
  Communicator& comm_;
  ThreadPool& pool_;
  RunDir* const run_dir_;
  std::map<int, TensorHashes> known_;  // by block: what was checked
};

// The hash of the whole source, from the hashes that the run folder keeps: those of `blocks` blocks
// and of all tensors outside of them.
std::string kept_source_hash(const RunState& state, int64_t blocks);

}  // namespace bitmill
