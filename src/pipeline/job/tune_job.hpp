#pragma once
// The settings of `tune`, its forecast, and what it tells while it works.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "method/settings.hpp"
#include "method/tuned_parts.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/sign_groups.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

// Every setting, resolved.
struct TuneOptions {
  std::string model;       // packed folder
  std::string reference;   // the 16-bit folder it was made from
  ModelReading reading;    // how both are read
  std::string output_dir;  // made by the job; may exist when empty
  std::string calib;       // text, .jsonl or token file
  std::string work_dir;
  std::string scratch_dir;  // for streams that do not fit stream_memory

  int64_t samples = 128;
  bool samples_by_hand = true;  // as in QuantizeOptions
  int64_t seq_len = 0;          // 0: as in QuantizeOptions
  int epochs = 6;
  int64_t batch = 4;
  double rate = 2e-3;  // of every factor; falls to 0 along a cosine
  bool learn_signs = false;
  double sign_rate = 3e-3;     // of the signs' latents; falls as `rate` does
  bool half_latents = false;   // latents and their moments are rounded to 16 bits after an epoch
  int64_t sign_blocks = 0;     // so many blocks' signs are trained at a time; 0: all
  ExactRatio held_out{1, 10};  // of the windows, at least one; of a text, its last part
  uint64_t seed = 0;
  bool seed_by_hand = false;             // these four as in QuantizeOptions
  std::optional<uint64_t> shuffle_seed;  // of the windows that are trained on
  WindowBos window_bos = WindowBos::off;
  std::string text_key;
  // Where there are files here, windows of their text are trained on, `portion` of them in an epoch
  // at most, and `calib` only gives the windows that are held out.
  std::vector<std::string> corpus;
  std::string corpus_dir;        // for the corpus' index and unpacked files
  int64_t train_windows = 4096;  // of the corpus
  int64_t portion = 512;
  std::string backend = "cpu";   // cpu, reference, or cuda
  Dtype dtype = Dtype::float32;  // of products, and on a GPU of activations

  int stages = 1;             // groups of ranks that share the depth
  int64_t stream_memory = 0;  // bytes on this rank; 0: no limit
  Resume resume = Resume::automatic;
  bool allow_mixed_hardware = false;
};

// What a run would do and need.
struct TuneForecast {
  int64_t blocks = 0;
  int64_t linears = 0;            // packed linears
  TunedParts parts;               // what is learned
  int64_t factors = 0;            // learned factors
  int64_t latents = 0;            // learned signs
  SignGroups sign_groups;         // where signs are learned
  int epochs = 0;                 // at most; of a corpus, portions
  int patience = usual_patience;  // so many epochs without gain end the tuning
  int64_t train = 0;              // windows of an epoch
  int64_t held_out = 0;           // windows
  int64_t seq_len = 0;
  int64_t steps_per_epoch = 0;
  Mesh mesh;
  int64_t packed_bytes = 0;       // of the result's tensors
  int64_t peak_memory_bytes = 0;  // estimate for the busiest rank
  int64_t corpus_bytes = 0;       // about, of the corpus' index and unpacked files
  // What a rank's streams may take: --stream-memory, less what is sent ahead of a slow neighbour.
  int64_t stream_budget = INT64_MAX;
  int64_t scratch_bytes = 0;  // of the streams that do not fit the busiest rank's memory
  int64_t state_bytes = 0;    // in the run folder, at most
  int64_t trial_bytes = 0;    // of the trial save of a start
  std::string fingerprint_json;
  std::vector<std::string> notes;  // what the user should hear before the work
};

// Hears what happens, on every rank.
class TuneObserver {
 public:
  virtual ~TuneObserver() = default;
  virtual void phase_begins(const std::string&) {}
  // Something that the user should know, but that does not stop the work.
  virtual void note(const std::string&) {}
  // How far the teacher's outputs are. The first call is with no block done.
  virtual void teacher_done(int64_t /*blocks_done*/, int64_t /*blocks*/) {}
  // The next call is a step.
  virtual void training_begins() {}
  // `step` of `epoch` is done.
  virtual void step_done(int /*epoch*/, int64_t /*step*/) {}
  // The last entries of the history are new. Where train_kl is empty, only the model as given was
  // measured. If earlier starts did a part of the epoch, `seconds` is what the whole epoch would
  // have taken in this start.
  virtual void epoch_done(const TuningHistory&, double /*seconds*/) {}
};

}  // namespace bitmill
