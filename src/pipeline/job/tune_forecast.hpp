#pragma once
// What a run of `tune` would do.

#include <cstdint>
#include <string>

#include "schedule/mesh.hpp"

namespace bitmill {

// What a run would do.
struct TuneForecast {
  int64_t blocks = 0;
  int64_t linears = 0;   // packed ones
  int64_t factors = 0;   // that are learned
  int64_t train = 0;     // windows
  int64_t held_out = 0;  // windows
  int64_t seq_len = 0;
  int64_t steps_per_epoch = 0;
  Mesh mesh;
  int64_t packed_bytes = 0;       // tensors of the result
  int64_t peak_memory_bytes = 0;  // estimate for the busiest rank
  int64_t scratch_bytes = 0;      // streams beyond its memory
  int64_t state_bytes = 0;        // in the work folder, at most
  std::string fingerprint_json;
};

}  // namespace bitmill
