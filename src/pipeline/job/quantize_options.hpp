#pragma once
// Every setting of `quantize`, resolved.

#include <cstdint>
#include <string>
#include <vector>

#include "format/dtype.hpp"
#include "method/settings.hpp"
#include "model/config.hpp"
#include "schedule/plan.hpp"

namespace bitmill {

// What to do with an unfinished run in the work folder: go on with it or begin where there is none;
// insist on going on; or discard it.
enum class Resume { automatic, required, never };

// Every setting, resolved: a recipe's name is kept for the record only.
struct QuantizeOptions {
  std::string model;       // folder
  std::string output_dir;  // made by the job; may exist when empty
  std::string calib;       // .txt, .jsonl or token file
  std::string work_dir;
  std::string scratch_dir;  // for streams that do not fit stream_memory
  std::string recipe = "published";

  int64_t samples = 128;
  // False: where the calibration is a two-dimensional token file with fewer rows, all of them do.
  bool samples_by_hand = true;
  int64_t seq_len = 0;  // 0: min(2048, the model's context), or a two-dimensional token file's T
  int epochs = 20;
  int64_t batch = 1;
  int lag = 0;  // 0: epochs
  uint64_t seed = 0;
  MethodSettings method;
  // Learned signs: their latents and moments are kept in bfloat16 from epoch to epoch, which is
  // what the state on disk takes then.
  bool half_latents = false;
  // Of the activations between blocks and of the targets; computing stays float32.
  Dtype stream_dtype = Dtype::float32;
  std::string backend = "cpu";
  std::string ignore;  // regular expression over weight names; matching linears stay as they are
  int64_t max_blocks = 0;  // 0: all; else the blocks after these stay as they are

  int stages = 0;    // groups of ranks that share the depth; 0: chosen
  int replicas = 0;  // of a stage; 0: as many as ranks and batch allow
  Walk walk = Walk::automatic;
  int64_t max_shard_bytes = int64_t{5} * 1000 * 1000 * 1000;
  int64_t stream_memory = 0;  // bytes on this rank; 0: no limit
  int64_t memory_limit = 0;   // bytes of a rank that the plan may not exceed; 0: no limit
  Resume resume = Resume::automatic;
  std::vector<int> redo_blocks;       // of an unfinished run: built again, and compared
  bool verify_source = false;         // read and hash all of the model before the work begins
  bool allow_mixed_hardware = false;  // go on with a run that another numerics class began
};

// lag 0 means epochs.
QuantizeOptions resolve_lag(QuantizeOptions options);

// The first blocks of the model: all of them, or as many as --max-blocks says.
int64_t blocks_to_pack(const QuantizeOptions& options, const ModelConfig& config);
// True for linears that --ignore and --max-blocks leave alone.
bool is_kept(const QuantizeOptions& options, int64_t block, const std::string& tensor);

}  // namespace bitmill
