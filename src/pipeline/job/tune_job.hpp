#pragma once
// What `tune` is told, what it would do, and what it tells while it works.

#include <cstdint>
#include <string>

#include "method/settings.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

// Every setting, resolved.
struct TuneOptions {
  std::string model;       // packed folder
  std::string reference;   // the 16-bit folder it was made from
  std::string output_dir;  // made by the job; may exist when empty
  std::string calib;       // .txt, .jsonl or token file
  std::string work_dir;
  std::string scratch_dir;  // for streams that do not fit stream_memory

  int64_t samples = 128;
  bool samples_by_hand = true;  // as in QuantizeOptions
  int64_t seq_len = 0;          // 0: as there
  int epochs = 6;
  int64_t batch = 4;
  double rate = 2e-3;          // of every factor; falls to 0 along a cosine
  ExactRatio held_out{1, 10};  // of the windows, at least one; of a text, from its last part
  uint64_t seed = 0;
  std::string backend = "cpu";

  int stages = 1;             // groups of ranks that share the depth
  int64_t stream_memory = 0;  // bytes on this rank; 0: no limit
  Resume resume = Resume::automatic;
  bool allow_mixed_hardware = false;
};

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

// Hears what happens, on every rank.
class TuneObserver {
 public:
  virtual ~TuneObserver() = default;
  virtual void phase_begins(const std::string&) {}
  // What people should know, and nothing hinders the work.
  virtual void note(const std::string&) {}
  // Of the original's outputs; first with none of the blocks done.
  virtual void teacher_done(int64_t /*blocks_done*/, int64_t /*blocks*/) {}
  // The next thing is a step.
  virtual void training_begins() {}
  // `step` of the epoch was the last one done.
  virtual void step_done(int /*epoch*/, int64_t /*step*/) {}
  // The last entries of the history are new; without training ones, only the start was measured.
  // An epoch of which earlier starts did a part has the seconds that it would have taken here.
  virtual void epoch_done(const TuningHistory&, double /*seconds*/) {}
};

}  // namespace bitmill
