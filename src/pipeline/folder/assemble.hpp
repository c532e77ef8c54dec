#pragma once
// From packed blocks in the run folder to a packed model folder: beside, verified, renamed.

#include <string>

#include "checkpoint/run_dir.hpp"
#include "comm/communicator.hpp"
#include "format/safetensors_writer.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// How a result was made, as config.json tells it.
struct Provenance {
  std::string fingerprint_json;
  std::string source_hash;
  std::string numerics_class;
};

// A tensor of the model as it is.
TensorSource copied_tensor(const SourceModel& model, const std::string& name);

// UsageError when the folder is packed already.
void check_is_source(Files& files, const std::string& model_folder);

// Where in config.json a job tells how a result was made.
inline constexpr const char* quantize_record = "/quantization_config/bitmill";
inline constexpr const char* tuning_record = "/quantization_config/bitmill/tuning";

// Whether output_dir holds a result with this fingerprint; false when it is missing or empty.
// UsageError when it holds anything else. Looks at nothing but config.json.
bool check_output(const std::string& output_dir, Files& files, const char* record,
                  const std::string& fingerprint_json);
// The same, collective: what rank 0 finds, for everybody. The UsageError is rank 0's alone.
bool check_output(const std::string& output_dir, Files& files, const char* record,
                  const std::string& fingerprint_json, Communicator& comm);
// UsageError when that result was made from other weights; FormatError when it is damaged.
void verify_result(Files& files, const std::string& output_dir, const std::string& source_hash,
                   const char* record = quantize_record);

// On one rank. Packed linears come from `run_dir`, everything else is copied from the model.
// ClaimError, and no result, when the folder was lost meanwhile.
void assemble(const QuantizeOptions& options, Files& files, const SourceModel& model,
              const RunDir& run_dir, const Provenance& provenance, QuantizeObserver& observer);

}  // namespace bitmill
