#pragma once
// How far tuning has come, and its way to and from the run folder: one file, so that all blocks are
// always of one step. In the run folder the whole model counts as block 0.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "checkpoint/run_dir.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/sums/sharded_optimizer.hpp"

namespace bitmill {

inline constexpr int whole_model = 0;

// What stages and replicas know separately, when it is saved.
struct TuningState {
  TuningHistory history;
  int64_t steps = 0;          // of the optimiser, those of an unfinished epoch included
  std::vector<float> losses;  // [training windows], of an unfinished epoch
  at::Tensor factors;         // of the stage
  at::Tensor best;            // of the stage, after history.best() epochs; memory of its own
};

// A flat tensor of the whole model, of which every stage has its piece: it does not depend on how
// many stages there are.
class StagePieces {
 public:
  // Collective over the mesh, like join().
  StagePieces(MeshRank& rank, int64_t own_size);

  int64_t size() const { return size_; }
  // On every rank; `piece` is looked at where the rank leads its stage.
  at::Tensor join(const at::Tensor& piece) const;
  // A copy.
  at::Tensor own(const at::Tensor& whole) const;

 private:
  MeshRank& rank_;
  int64_t own_size_;
  int64_t first_ = 0;
  int64_t size_ = 0;
};

// Collective over the mesh; run_dir on rank 0, else null.
void save_tuning(RunDir* run_dir, const TuningState& state, ShardedOptimizer& optimizer,
                 const StagePieces& pieces);
// `state` keeps what it is given with where nothing was saved.
void restore_tuning(const RunDir* run_dir, TuningState& state, ShardedOptimizer& optimizer,
                    const StagePieces& pieces, MeshRank& rank);

}  // namespace bitmill
