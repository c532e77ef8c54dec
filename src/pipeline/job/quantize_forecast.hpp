#pragma once
// The forecast of a run of `quantize`.

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/job/quantize_options.hpp"
#include "schedule/plan.hpp"

namespace bitmill {

// What a run would do and need. --dry-run prints it; every run makes it first.
struct QuantizeForecast {
  int64_t blocks = 0;              // that will be packed
  int64_t linears = 0;             // that will be packed
  int64_t linear_weights = 0;      // in those linears
  int64_t parameters = 0;          // of the model
  int64_t source_bytes = 0;        // of the source's tensors
  int64_t packed_bytes = 0;        // of the result's tensors, exact
  int64_t turn_bytes = 0;          // packed linears alone: what one turn of all blocks writes
  double bits_per_weight = 0;      // of the packed linears, exact
  int64_t calibration_tokens = 0;  // of the calibration text
  int64_t samples = 0, seq_len = 0;
  int64_t steps_per_epoch = 0;
  int turns = 0;
  Mesh mesh;                      // of the ranks that have work; the other ranks are idle
  Walk walk = Walk::sweep;        // never automatic
  int64_t stream_bytes = 0;       // on the busiest rank, in memory and scratch file together
  int64_t peak_memory_bytes = 0;  // estimate for the busiest rank, on its host
  int64_t host_stream_bytes = 0;  // of it: streams
  // On a GPU, on the busiest rank; 0 where there is none. The most that a block needs with all
  // streams elsewhere; of it, temporary memory of attention; what arriving samples take where not
  // all streams lie there; and the most in all, with the streams that --device-memory-limit leaves
  // room for.
  int64_t device_block_bytes = 0;
  int64_t device_attention_bytes = 0;
  int64_t device_arriving_bytes = 0;
  int64_t device_peak_bytes = 0;
  bool save_beside = true;  // as in Workload: there is memory for a copy of a block's state
  int64_t copy_bytes = 0;   // of peak_memory_bytes: of that copy; 0 without save_beside
  // Streams that a stop keeps in the run folder: their bytes, and the fewest packed blocks with
  // which it does. 0 where no stop does: then the next start replays the packed blocks.
  int64_t kept_bytes = 0;
  int64_t kept_from_block = 0;
  int64_t state_bytes = 0;  // files of live blocks in the run folder, at most
  int64_t disk_bytes = 0;   // of everything that the run writes: result, run folder, scratch files
  std::string fingerprint_json;    // everything that determines the result, and nothing else
  std::vector<std::string> notes;  // what the user should hear before the work
};

// Bytes that the streams of a rank may take on its device, where it may use `device_bytes` there.
int64_t room_for_streams(const QuantizeForecast& forecast, int64_t device_bytes);
// The least that a rank must be able to hold there then: a block, and the places of arriving
// samples where some streams lie elsewhere. 0 without a GPU.
int64_t least_device_bytes(const QuantizeForecast& forecast, int64_t device_bytes);
// The most that a rank holds there then; 0 without a GPU.
int64_t device_bytes_with(const QuantizeForecast& forecast, int64_t device_bytes);
// Whether states are saved beside training then: within --memory-limit, where the copy is what goes
// first.
bool saves_beside_with(const QuantizeForecast& forecast, const QuantizeOptions& options,
                       int64_t device_bytes);
// The most that a rank holds on its host then. It may be more than --memory-limit
// (ranks_check.hpp).
int64_t host_bytes_with(const QuantizeForecast& forecast, const QuantizeOptions& options,
                        int64_t device_bytes);

// The plan of that run. REQUIRES: the lag of the options is resolved.
Plan plan_of(const QuantizeOptions& options, const QuantizeForecast& forecast);

}  // namespace bitmill
