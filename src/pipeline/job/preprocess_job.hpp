#pragma once
// The settings of `preprocess`, its forecast, and what it tells while it works.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "method/lora_block.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

// cross_entropy: of the text's next tokens. divergence: from the original's distribution of them.
enum class TrainingLoss { cross_entropy, divergence };
// The words for these on the command line and in records: "ce", "kl".
std::string_view word_of(TrainingLoss loss);

// What is trained on when the number of steps is not given (the paper's figure).
inline constexpr int64_t usual_sequences = 20'000;

// Every setting, resolved.
struct PreprocessOptions {
  std::string model;                    // the 16-bit folder
  std::string packed;                   // the base: a packed folder that was made from it
  ModelReading reading;                 // how both are read
  std::string output_dir;               // made by the job; may exist when empty
  std::vector<std::string> evaluation;  // texts that must not be trained on
  std::vector<std::string> corpus;      // texts
  std::string text_key;                 // of JSON lines
  std::string work_dir;
  std::string scratch_dir;  // for streams that do not fit stream_memory
  std::string corpus_dir;   // for the index of the corpus, and unpacked texts

  LoraSettings lora;  // with the seed of everything that is drawn
  // The words that the user gave for lora.targets; empty: the default, of which a family may lack
  // some.
  std::vector<std::string> named_targets;
  int64_t steps = 0;     // 0: usual_sequences / batch
  int64_t batch = 2;     // sequences of a step
  double warmup = 0.05;  // share of the steps in which the rate rises
  TrainingLoss loss = TrainingLoss::cross_entropy;
  bool pack = false;             // full windows instead of documents that are cut at seq_len
  int64_t seq_len = 0;           // 0: min(2048, the model's context)
  ExactRatio held_out{1, 100};   // of the text, its last part
  std::string backend = "cpu";   // cpu, reference, or cuda
  Dtype dtype = Dtype::float32;  // of products, and on a GPU of activations

  int stages = 1;             // groups of ranks that share the depth
  double save_every_s = 600;  // between two states of a run that nobody stops
  int64_t stream_memory = 0;  // bytes on this rank; 0: no limit
  Resume resume = Resume::automatic;
  bool allow_mixed_hardware = false;
};

// What the busiest rank holds at most, in bytes: an estimate, part by part.
struct PreprocessMemory {
  int64_t libraries = 0;  // libtorch, MPI, the heap's reserve
  int64_t packed = 0;     // blocks of its stage
  int64_t block = 0;      // dense weights of the one block that is computed
  int64_t heads = 0;      // the base's, and with a teacher the original's
  int64_t passes = 0;     // of samples through a block or the loss
  int64_t streams = 0;    // activations between blocks, and on their way to a neighbour
  int64_t adapters = 0;   // values, gradients, moments

  int64_t total() const { return libraries + packed + block + heads + passes + streams + adapters; }
};

// What a run would do and need.
struct PreprocessForecast {
  int64_t blocks = 0;
  int64_t adapters = 0;  // linears that have one
  int64_t values = 0;    // trained numbers
  int64_t steps = 0;
  int64_t steps_per_measure = 0;  // between two measurements of the text that is held out
  int64_t warmup_steps = 0;
  int64_t seq_len = 0;
  Mesh mesh;
  int64_t result_bytes = 0;  // of the result's tensors
  PreprocessMemory memory;
  int64_t peak_memory_bytes = 0;  // memory.total()
  int64_t scratch_bytes = 0;      // of the streams that do not fit the busiest rank's memory
  int64_t corpus_bytes = 0;       // in corpus_dir
  int64_t state_bytes = 0;        // in the run folder, at most
  // Everything that determines the result but for the text: preprocess() adds that when it has read
  // the text once.
  std::string fingerprint_json;
  std::vector<std::string> notes;  // what the user should hear before the work
};

// Losses in nats per token, means over sequences: of the training, each over the steps since the
// measurement before; and of the text that is held out, before the first step and then after every
// steps_per_measure.
struct PreprocessHistory {
  std::vector<float> train, held_out;

  int measures() const { return static_cast<int>(train.size()); }
};

// Hears what happens, on every rank.
class PreprocessObserver {
 public:
  struct Step {
    int64_t done = 0;    // steps, those of earlier starts included
    int64_t tokens = 0;  // of this step, without padding
    double loss = 0;     // of this step
  };

  virtual ~PreprocessObserver() = default;
  virtual void phase_begins(const std::string&) {}
  // Something that the user should know, but that does not stop the work.
  virtual void note(const std::string&) {}
  // The next call is a step; `steps` are done.
  virtual void training_begins(int64_t /*steps*/) {}
  virtual void step_done(const Step&) {}
  // The last entries of the history are new. Where `train` is empty, only the base was measured.
  virtual void measured(const PreprocessHistory&, int64_t /*steps*/) {}
};

}  // namespace bitmill
