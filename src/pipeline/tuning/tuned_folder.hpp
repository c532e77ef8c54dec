#pragma once
// Writes the packed folder that is the result of `tune`: the given folder with other scales.

#include <ATen/core/Tensor.h>

#include <string>

#include "base/thread_pool.hpp"
#include "checkpoint/run_dir.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/tune_job.hpp"
#include "pipeline/job/tuning_history.hpp"

namespace bitmill {

// How the result was made, as its config.json tells at tuning_record.
struct TuningRecord {
  std::string fingerprint_json;
  std::string source_hash;  // hashes of the packed model and of the teacher
  std::string numerics_class;
  TuningHistory history;
};

// On one rank only. `factors` has the factors of all blocks, one after the other, float32; 1 leaves
// a scale's bytes as they are. The folder is written beside its final place, read back, and
// renamed. ClaimError, and no result, when the run folder was lost to another process meanwhile.
void write_tuned(const TuneOptions& options, Files& files, const SourceModel& model,
                 const RunDir& run_dir, const at::Tensor& factors, const TuningRecord& record,
                 ThreadPool& pool, TuneObserver& observer);

}  // namespace bitmill
