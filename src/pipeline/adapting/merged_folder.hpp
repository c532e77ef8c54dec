#pragma once
// Writes the result of `preprocess`: base and adapters as one ordinary 16-bit folder.

#include <string>

#include "base/thread_pool.hpp"
#include "checkpoint/run_dir.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/preprocess_job.hpp"

namespace bitmill {

// Where config.json of the result records how it was made: a JSON pointer. transformers keeps the
// key and ignores it.
inline constexpr const char* preprocess_record = "/bitmill_preprocess";

// How the result was made, as its config.json tells.
struct MergeRecord {
  std::string fingerprint_json;
  std::string source_hash;  // of base and original
  std::string numerics_class;
  PreprocessHistory history;
};

// On one rank only. The adapters are those of the last state in `run_dir`; one weight is made at a
// time. Everything else is copied from the original's folder. The folder is written beside its
// final place, read back, and renamed. NumericError for a weight that does not fit its type.
// ClaimError, and no result, when the run folder was lost to another process meanwhile.
void write_merged(const PreprocessOptions& options, Files& files, const SourceModel& base,
                  const SourceModel& original, const RunDir& run_dir, const MergeRecord& record,
                  ThreadPool& pool, PreprocessObserver& observer);

// Verifies the result that is there: every tensor against the hash in its config.json. UsageError
// when it was made from other weights; FormatError when it is damaged.
void verify_merged(const PreprocessOptions& options, Files& files, const std::string& source_hash,
                   ThreadPool& pool);

}  // namespace bitmill
