#pragma once
// Writes the packed folder that is the result of `tune`: the given folder with other scales, and
// other signs where these are learned.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "base/thread_pool.hpp"
#include "checkpoint/run_dir.hpp"
#include "method/tuned_block.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/tune_job.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "pipeline/ranks/mesh_rank.hpp"

namespace bitmill {

// How the result was made, as its config.json tells at tuning_record.
struct TuningRecord {
  std::string fingerprint_json;
  std::string source_hash;  // hashes of the packed model and of the teacher
  std::string numerics_class;
  TuningHistory history;
};

// What is written: the factors of all blocks, one behind the other, float32; 1 leaves a scale's
// bytes as they are. And, where signs are learned, those of this rank's stage, on its leader.
struct TunedValues {
  at::Tensor factors;
  const std::vector<BlockSigns>& signs;
};

// On rank 0. The folder is written beside its final place, read back, and renamed. ClaimError, and
// no result, when the run folder was lost to another process meanwhile. Where signs are learned,
// those of other stages come from their leaders, tensor by tensor, by give_signs().
void write_tuned(const TuneOptions& options, const TunedParts& parts, Files& files,
                 const SourceModel& model, const RunDir& run_dir, const TunedValues& values,
                 const TuningRecord& record, MeshRank& rank, ThreadPool& pool,
                 TuneObserver& observer);
// On the leaders of the other stages, at the same time. Waits until rank 0 has taken all.
void give_signs(const SourceModel& model, const std::vector<BlockSigns>& signs, MeshRank& rank);

}  // namespace bitmill
