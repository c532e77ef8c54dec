#pragma once
// What a run of `quantize` would do.

#include <cstdint>
#include <string>

#include "pipeline/job/quantize_options.hpp"
#include "schedule/plan.hpp"

namespace bitmill {

// What a run would do: the answer of --dry-run, and the first minute of every run.
struct QuantizeForecast {
  int64_t blocks = 0;              // that will be packed
  int64_t linears = 0;             // that will be packed
  int64_t linear_weights = 0;      // in them
  int64_t parameters = 0;          // of the model
  int64_t source_bytes = 0;        // tensors of the source
  int64_t packed_bytes = 0;        // tensors of the result, exact
  int64_t turn_bytes = 0;          // packed linears alone: what one turn of all blocks leaves
  double bits_per_weight = 0;      // of the packed linears, exact
  int64_t calibration_tokens = 0;  // in the text
  int64_t samples = 0, seq_len = 0;
  int64_t steps_per_epoch = 0;
  int turns = 0;
  Mesh mesh;                      // of the ranks that work; the rest idle
  Walk walk = Walk::sweep;        // never automatic
  int64_t stream_bytes = 0;       // on the busiest rank, memory and scratch together
  int64_t peak_memory_bytes = 0;  // estimate for the busiest rank
  int64_t state_bytes = 0;        // in the work folder: files of live blocks, at most
  int64_t disk_bytes = 0;         // work folder and result together
  std::string fingerprint_json;   // everything that determines the result, and nothing else
};

// The schedule of that run. REQUIRES: the lag of the options is resolved.
Plan plan_of(const QuantizeOptions& options, const QuantizeForecast& forecast);

}  // namespace bitmill
