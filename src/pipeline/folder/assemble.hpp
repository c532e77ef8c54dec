#pragma once
// Makes a packed model folder from the packed blocks in the run folder: writes it beside its final
// place, verifies it, and renames it.

#include <string>

#include "checkpoint/run_dir.hpp"
#include "comm/communicator.hpp"
#include "format/safetensors_writer.hpp"
#include "model/source_model.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// How a result was made, as its config.json tells.
struct Provenance {
  std::string fingerprint_json;
  std::string source_hash;
  std::string numerics_class;
};

// A tensor of the model, copied without change.
TensorSource copied_tensor(const SourceModel& model, const std::string& name);

// UsageError when the model folder is already packed.
void check_is_source(Files& files, const std::string& model_folder);

// Where config.json records how a job made the result: JSON pointers.
inline constexpr const char* quantize_record = "/quantization_config/bitmill";
inline constexpr const char* tuning_record = "/quantization_config/bitmill/tuning";

// Whether output_dir holds a result of a job with this fingerprint. False when the folder is
// missing or empty. UsageError when it holds anything else. Reads nothing but config.json.
bool check_output(const std::string& output_dir, Files& files, const char* record,
                  const std::string& fingerprint_json);
// The same, collective: rank 0 looks, and every rank gets its answer. A UsageError is thrown on
// rank 0 only.
bool check_output(const std::string& output_dir, Files& files, const char* record,
                  const std::string& fingerprint_json, Communicator& comm);
// Verifies the result that is there. UsageError when it was made from other weights; FormatError
// when it is damaged.
void verify_result(Files& files, const std::string& output_dir, const std::string& source_hash,
                   const char* record = quantize_record);

// On one rank only. Packed linears come from `run_dir`, everything else is copied from the model.
// ClaimError, and no result, when the run folder was lost to another process meanwhile.
void assemble(const QuantizeOptions& options, Files& files, const SourceModel& model,
              const RunDir& run_dir, const Provenance& provenance, QuantizeObserver& observer);

}  // namespace bitmill
