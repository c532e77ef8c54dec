#pragma once
// Every setting of `quantize`.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/window_bos.hpp"
#include "format/dtype.hpp"
#include "method/settings.hpp"
#include "model/config.hpp"
#include "pipeline/job/ignored_linears.hpp"
#include "schedule/cost_model.hpp"
#include "schedule/plan.hpp"

namespace bitmill {

// What to do with an unfinished run in the run folder. automatic: go on with it, or begin a run
// where there is none; required: go on with it, or fail; never: discard it and begin a new run.
enum class Resume { automatic, required, never };

// Every setting, resolved. The recipe's name is only kept for the record.
struct QuantizeOptions {
  std::string model;       // folder
  ModelReading reading;    // how it is read
  std::string output_dir;  // made by the job; may exist when empty
  std::string calib;       // text, .jsonl or token file
  std::string work_dir;
  std::string scratch_dir;  // for streams that do not fit stream_memory
  std::string recipe = "published";

  int64_t samples = 128;
  // Whether the user gave `samples`. If not, and the calibration is a two-dimensional token file
  // with fewer rows, all its rows are used.
  bool samples_by_hand = true;
  int64_t seq_len = 0;  // 0: T of a two-dimensional token file, else min(2048, the model's context)
  int epochs = 20;
  int64_t batch = 1;
  int lag = 0;        // 0: epochs
  uint64_t seed = 0;  // of the positions of windows in a text
  // Whether the user gave `seed`. It has no effect on ready windows, and a note says so.
  bool seed_by_hand = false;
  std::optional<uint64_t> shuffle_seed;  // of the order of the windows; none: as they come
  WindowBos window_bos = WindowBos::off;
  std::string text_key;  // of .jsonl; empty: nobody gave one
  MethodSettings method;
  // For learned signs: their latents and moments are rounded to bfloat16 after every epoch, and
  // take 16 bits each in the state on disk.
  bool half_latents = false;
  // Dtype of the activations between blocks and of the targets.
  Dtype stream_dtype = Dtype::float32;
  std::string backend = "cpu";
  // In which the backend computes: float32, or bfloat16 on a GPU. What is learned is float32.
  Dtype dtype = Dtype::float32;
  IgnoredLinears ignore;   // these stay as they are
  int64_t max_blocks = 0;  // 0: all; else later blocks stay as they are

  int stages = 0;    // groups of ranks that share the depth; 0: the planner chooses
  int replicas = 0;  // of each stage; 0: as many as ranks and batch allow
  Walk walk = Walk::automatic;
  int64_t max_shard_bytes = int64_t{5} * 1000 * 1000 * 1000;
  int64_t stream_memory = 0;        // bytes on this rank; 0: no limit
  int64_t memory_limit = 0;         // bytes that the forecast of a rank may not exceed; 0: no limit
  int64_t device_memory_limit = 0;  // bytes of a GPU that a rank may use; 0: what is free there
  // Whether a block's state may be written while the block is trained on, which takes memory for a
  // copy; within memory_limit. Set by whoever knows that the memory is too small.
  bool save_beside = true;
  // By the planner: whether a stop keeps the streams of its block (ResumeCosts::keeps()). As it is
  // here, it never does.
  ResumeCosts resume_costs;
  Resume resume = Resume::automatic;
  std::vector<int> redo_blocks;       // of an unfinished run: to be built again, and compared
  bool verify_source = false;         // read and hash the whole model before the work begins
  bool allow_mixed_hardware = false;  // go on with a run that another numerics class began
};

// Replaces lag 0 by epochs.
QuantizeOptions resolve_lag(QuantizeOptions options);

// How many blocks are packed, from the first one on: all of them, or as many as --max-blocks says.
int64_t blocks_to_pack(const QuantizeOptions& options, const ModelConfig& config);
// True for linears that stay as they are, because of --ignore or --max-blocks. REQUIRES: --ignore
// is understood (IgnoredLinears::problem()).
bool is_kept(const QuantizeOptions& options, int64_t block, const std::string& tensor);

}  // namespace bitmill
