#pragma once
// The packed folder that tuning leaves: the given one with other scales.

#include <ATen/core/Tensor.h>

#include <string>

#include "base/thread_pool.hpp"
#include "checkpoint/run_dir.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/tune_job.hpp"
#include "pipeline/job/tuning_history.hpp"

namespace bitmill {

// How it was made, as config.json tells it at tuning_record.
struct TuningRecord {
  std::string fingerprint_json;
  std::string source_hash;  // of both models
  std::string numerics_class;
  TuningHistory history;
};

// On one rank. `factors` of all blocks, one behind the other, float32: 1 leaves every byte as it
// is. Written beside, read back, renamed. ClaimError, and no result, when run_dir was lost
// meanwhile.
void write_tuned(const TuneOptions& options, Files& files, const SourceModel& model,
                 const RunDir& run_dir, const at::Tensor& factors, const TuningRecord& record,
                 ThreadPool& pool, TuneObserver& observer);

}  // namespace bitmill
