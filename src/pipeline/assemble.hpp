#pragma once
// From packed blocks in the run folder to a packed model folder: beside, verified, renamed.

#include <string>

#include "checkpoint/run_state.hpp"
#include "model/source_model.hpp"
#include "pipeline/quantize.hpp"

namespace bitmill {

// How a result was made, as config.json tells it.
struct Provenance {
  std::string fingerprint_json;
  std::string source_hash;
  std::string numerics_class;
};

// UsageError when the folder is packed already.
void check_is_source(Files& files, const std::string& model_folder);

// UsageError when output_dir is neither missing, nor empty, nor a result with this fingerprint.
void check_output(const QuantizeOptions& options, Files& files, const QuantizePlan& plan);

// True when output_dir holds a result of exactly this provenance. Another result is a UsageError
// that names the first difference.
bool holds_result(const std::string& output_dir, Files& files, const Provenance& provenance);

// On one rank. Packed linears come from `state`, everything else is copied from the model.
void assemble(const QuantizeOptions& options, Files& files, const SourceModel& model,
              const RunState& state, const Provenance& provenance, QuantizeObserver& observer);

}  // namespace bitmill
