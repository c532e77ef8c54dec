#pragma once
// The main job: a 16-bit Hugging Face folder and a calibration text become a packed folder.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "checkpoint/claim.hpp"
#include "comm/communicator.hpp"
#include "format/dtype.hpp"
#include "method/settings.hpp"
#include "pipeline/executor.hpp"

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

// Quality of one finished block.
struct BlockReport {
  int block = 0;
  double first_loss = 0;      // mean over samples, first epoch
  double last_loss = 0;       // last epoch
  double cosine = 0;          // of student and teacher outputs, mean over all tokens
  double relative_error = 0;  // |student - teacher| / |teacher|, Frobenius over all samples
  double bits_per_weight = 0;
};
// A block is marked when its cosine is below this: half of the output's direction is lost.
inline constexpr double bad_block_cosine = 0.5;

// Hears what happens, on every rank.
class QuantizeObserver : public Observer {
 public:
  virtual void block_packed(const BlockReport&) {}
  // Long single stages outside the blocks: "hashing the model", "writing the packed model",
  // "reading it back".
  virtual void stage_begins(const std::string&) {}
};

// What a run would do: the answer of --dry-run, and the first minute of every run.
struct QuantizePlan {
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

// Checks everything that can be checked before the long work; touches nothing. All ranks may call
// it; it does not communicate. Throws UsageError, FormatError, FileError with all problems found,
// one per line.
QuantizePlan plan_quantize(const QuantizeOptions& options, Files& files, int ranks, int threads);

// Collective. What no rank can see alone: UsageError, the same on every rank, when they would not
// do the same work (another binary, model, calibration, kind of machine unless that is allowed) or
// the ranks of a host do not fit into its memory together; all of it, a line each. Returns the
// numerics classes that there are. quantize() asks this first.
std::vector<std::string> compare_ranks(const QuantizeOptions& options, const QuantizePlan& plan,
                                       Files& files, Communicator& comm, const std::string& host);

struct QuantizeResult {
  bool already_done = false;  // the folder held the finished result of this very configuration
  std::vector<BlockReport> blocks;
  double bits_per_weight = 0;
  double bits_per_parameter = 0;
  int64_t source_bytes = 0;
  int64_t packed_bytes = 0;  // safetensors files
  double state_seconds = 0;  // rank 0 spent writing state and packed blocks into the work folder
  // Files of live blocks in the work folder, of all ranks, headers aside: the largest of them, what
  // it was planned to be, and all that this start wrote. 0 where it wrote none.
  int64_t state_bytes = 0;
  int64_t planned_state_bytes = 0;
  int64_t state_bytes_written = 0;
};

// What the caller knows of this start.
struct RunControl {
  StopWishes wishes;
  std::string host = "this host";  // as people know it
  std::string job;                 // of the batch system; may be empty
  ClaimTiming claim_timing;
  // On rank 0, once the work folder can be asked about this run: claimed, or of a finished run.
  std::function<void()> work_dir_answers = [] {};
  bool heartbeat = true;  // off for tests that count file operations
};

// Collective. AgreedStop when the ranks left at a safe point: the run folder then holds everything
// that the next start needs. Nothing is left under output_dir unless it is whole and was read back.
QuantizeResult quantize(const QuantizeOptions& options, Files& files, Communicator& comm,
                        ThreadPool& pool, QuantizeObserver& observer, const RunControl& control);

}  // namespace bitmill
