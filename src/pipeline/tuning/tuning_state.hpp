#pragma once
// How far tuning has come: saves it to the run folder and restores it from there. In the run folder
// the whole model counts as block 0. What is small of all blocks, and all that is the same for the
// whole model, is one file. Latents of signs and their moments are too large for that: each block
// has a part of its own, which the leader of its stage writes. All of them are always committed at
// the same step. Where signs are trained in groups, a block that is not in the group has only signs
// in its part.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/thread_pool.hpp"
#include "checkpoint/run_writer.hpp"
#include "method/tuned_block.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/tuning/stage_optimizer.hpp"

namespace bitmill {

inline constexpr int whole_model = 0;

// The state when it is saved. Each stage has what is trained of its own blocks; the rest is the
// same on all ranks.
struct TuningState {
  TuningHistory history;
  int64_t steps = 0;          // of the optimiser, including those of an unfinished epoch
  std::vector<float> losses;  // [training windows] of an unfinished epoch
  at::Tensor trained;         // of this stage, on the device
  at::Tensor best;            // the factors in it, after history.best() epochs; its own memory
  // Where signs are trained in groups (job/sign_groups.hpp): the one that is trained.
  std::optional<int64_t> sign_group;
  // The signs of the stage's blocks after as many epochs: on the leader of the stage, where they
  // are learned; else empty.
  std::vector<BlockSigns> best_signs;
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

// The signs of block i of a stage, of what is trained on it.
BlockSigns block_signs(const TrainedStage& stage, int i, const at::Tensor& trained);

// Whose state it is. All of it outlives every call. `run_dir`: on rank 0, and where there are
// parts, on the leader of every stage; else null. `pieces`: of what is small. `has_parts`: whether
// signs are learned of any block of the model.
struct TuningPlace {
  const TrainedStage& stage;
  StageOptimizer& optimizer;
  const StagePieces& pieces;
  bool has_parts;
  MeshRank& rank;
  RunDir* run_dir;
  ThreadPool& pool;
};

// Collective over the mesh. The tensors of the one file, which own their bytes; whole on every
// rank.
std::vector<TensorSource> tensors_to_save(const TuningState& state, const TuningPlace& place);
Progress saved_progress(const TuningState& state);
// Collective over the mesh; does nothing where there are no parts. Writes the blocks' parts, one
// tensor in memory at a time; latents and moments in `large`, float32 or bfloat16. When it returns,
// all parts of all stages are on the disk, and the one file may be committed. Rank 0 removes the
// parts of older states after that.
void save_parts(const TuningState& state, const TuningPlace& place, Dtype large);
// Collective over the replicas of a stage. Rounds latents and their moments to bfloat16: what they
// lose when they are kept in 16 bits.
void round_latents(const TuningState& state, const TuningPlace& place);
// Where signs are trained in groups: what is saved of it.
struct SavedSigns {
  int64_t group = 0;
  std::vector<BlockSigns> signs;  // of the blocks of this stage; of those in the group any
};
// Collective over the mesh. Nothing where no such state was saved. restore_tuning() comes after it,
// with the blocks that belong to it.
std::optional<SavedSigns> read_saved_signs(const TuningState& state, const TuningPlace& place);
// Restores the saved state; tensors stay where they are. Changes nothing where none was saved.
// Removes parts that no committed state has. Collective over the mesh.
void restore_tuning(TuningState& state, const TuningPlace& place);

}  // namespace bitmill
