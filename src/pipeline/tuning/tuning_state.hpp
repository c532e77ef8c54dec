#pragma once
// How far tuning has come: saves it to the run folder and restores it from there. It is one file,
// so that all blocks are always saved at the same step. In the run folder the whole model counts as
// block 0.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "checkpoint/run_writer.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/sums/sharded_optimizer.hpp"

namespace bitmill {

inline constexpr int whole_model = 0;

// The state when it is saved. Each stage has its own factors; the rest is the same on all ranks.
struct TuningState {
  TuningHistory history;
  int64_t steps = 0;          // of the optimiser, including those of an unfinished epoch
  std::vector<float> losses;  // [training windows] of an unfinished epoch
  at::Tensor factors;         // of this stage, on the device
  at::Tensor best;            // of this stage, after history.best() epochs; its own memory there
};

// Joins the pieces that the stages have of a flat tensor, and cuts it again. The flat tensor is
// that of the whole model: it does not depend on the number of stages.
class StagePieces {
 public:
  // Collective over the mesh, like join().
  StagePieces(MeshRank& rank, int64_t own_size);

  int64_t size() const { return size_; }
  // The flat tensor, on every rank, on the host. `piece` is only read on the leader of each stage,
  // wherever it is.
  at::Tensor join(const at::Tensor& piece) const;
  // This stage's piece of `whole`, copied.
  at::Tensor own(const at::Tensor& whole) const;

 private:
  MeshRank& rank_;
  int64_t own_size_;
  int64_t first_ = 0;
  int64_t size_ = 0;
};

// Collective over the mesh. The tensors of the file, which own their bytes; whole on every rank.
std::vector<TensorSource> tensors_to_save(const TuningState& state, ShardedOptimizer& optimizer,
                                          const StagePieces& pieces);
Progress saved_progress(const TuningState& state);
// Restores the saved state; tensors stay where they are. Changes nothing where none was saved.
// Collective over the mesh; run_dir
// on rank 0, else null.
void restore_tuning(const RunDir* run_dir, TuningState& state, ShardedOptimizer& optimizer,
                    const StagePieces& pieces, MeshRank& rank);

}  // namespace bitmill
