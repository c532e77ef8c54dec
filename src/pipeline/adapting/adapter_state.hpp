#pragma once
// How far the training of adapters has come: saves it to the run folder and restores it from there.
// It is one file, so that all blocks are always saved at the same step; in the run folder the whole
// model counts as block 0. Values and moments are in the file block by block, whatever stages they
// were on.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/run_writer.hpp"
#include "pipeline/job/preprocess_job.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/tuning/stage_optimizer.hpp"

namespace bitmill {

inline constexpr int all_adapters = 0;  // the number of the "block" in the run folder

struct AdapterState {
  PreprocessHistory history;
  int64_t steps = 0;    // of the optimiser
  double loss_sum = 0;  // over the sequences since the last measurement, in their order
  at::Tensor values;    // of this stage, on the device
};

// The name of a block's values in the file; a float32 tensor of LoraBlock::layout().size() numbers.
std::string values_name(int64_t block);

class AdapterFile {
 public:
  // `sizes`: how many numbers each block of the model has. All arguments outlive it.
  AdapterFile(MeshRank& rank, StageOptimizer& optimizer, const Device& device,
              std::vector<int64_t> sizes);

  // Collective over the mesh; `writer` on rank 0, else null. Rank 0 holds one tensor of one block
  // at a time. Returns when the state is committed. `event`: the line about the measurement that
  // this state ends; empty between two of them.
  void save(const AdapterState& state, RunWriter* writer, const std::string& event);
  // Restores the saved state: sets all of it. Changes nothing where none was saved. Collective over
  // the mesh; run_dir on rank 0, else null. UsageError, on every rank, where an early version of
  // bitmill has saved it in another layout.
  void restore(const RunDir* run_dir, AdapterState& state);

 private:
  struct Kind;
  std::vector<TensorSource> tensors(const AdapterState& state);
  void produce(const AdapterState& state, int64_t block, const Kind& kind, const ByteSink& sink);
  int stage_of(int64_t block) const;
  int place_of(int64_t block) const;      // among the blocks of its stage
  int64_t first_of(int64_t block) const;  // of its values within those of its stage

  MeshRank& rank_;
  StageOptimizer& optimizer_;
  const Device& device_;
  const std::vector<int64_t> sizes_;
};

}  // namespace bitmill
