#pragma once
// Reads the state of a run from disk: for the run itself, status and verify. The keys are block,
// turn, epoch and step, never the rank. RUNDIR.md describes the bytes.
//
//   <work>/blocks.jsonl          what happened, one event per line (EventLog)
//   <work>/state-0007/           generation 7 of the claim (claim.hpp)
//     run.json                   what the run is
//     blocks/0003.1.safetensors  the packed tensors of block 3 at the end of turn 1, in final form
//     live/0003.safetensors      learned values and optimiser state of block 3 after its last
//                                finished epoch, or step
//     parts/0003.40.safetensors  what the live state after step 40 has of block 3, where a state is
//                                too large for one file: the state in live/ says which step counts
//     redo/0003.1.safetensors    set aside by --redo-blocks, to be compared with its replacement
//     sources/0003.json          hashes of the source's tensors of block 3, as first read
//     events/0002.jsonl          lines of the leader of stage 2 (event_log.hpp)
//     streams/                   streams that a stop has kept (frontier_files.hpp)
//     DONE                       the result is complete; beside it only run.json is left
//     failure.json               why the last start failed, when starting again would not help

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "base/hash.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {

inline constexpr int run_dir_version = 3;

// How far a block has come. `epochs` and `steps` count what is finished since the block began, over
// all its turns. Steps beyond the finished epochs belong to the epoch that is under way.
struct Progress {
  int block = 0;
  int epochs = 0;
  int64_t steps = 0;

  bool operator==(const Progress&) const = default;
};

// A live block's saved state. The caller chooses the names of the tensors.
struct SavedBlock {
  Progress progress;
  SafetensorsFile tensors;
};

// Stands in the place of a block's number for the hashes of tensors that belong to no packed block.
inline constexpr int outside_blocks = -1;

// What run.json says.
struct RunRecord {
  std::string fingerprint_json;  // everything that determines the result, as one JSON object
  std::vector<std::string> numerics_classes;  // of the machines that have worked on the run
};

class RunState {
 public:
  // `path`: of the state folder.
  RunState(Files& files, std::string path);

  const std::string& path() const { return path_; }
  Files& files() const { return files_; }

  bool has_record() const;
  // FormatError when damaged or of another version of the run folder.
  RunRecord record() const;
  bool is_done() const;
  bool has_packed_blocks() const;  // of any turn

  bool has_packed(int block, int turn) const;
  // Verified against the hashes in its metadata: FormatError when damaged, FileError when missing.
  SafetensorsFile open_packed(int block, int turn) const;
  // The content's hash as the header of the set-aside file records it, or of the packed file when
  // none was set aside. FormatError when the header is damaged.
  std::string recorded_content(int block, int turn) const;

  bool has_live(int block) const;
  // Reads the header only, not the tensors.
  Progress live_progress(int block) const;
  // Verified like a packed block, with one tensor in memory at a time.
  SavedBlock open_live(int block) const;

  // A part of the live state after `steps` steps. Verified like a packed block: FormatError when
  // damaged, FileError when missing.
  SafetensorsFile open_part(int part, int64_t steps) const;

  bool has_set_aside(int block, int turn) const;

  // `block`: a block's number, or outside_blocks.
  bool has_source(int block) const;
  TensorHashes source(int block) const;

  std::string packed_path(int block, int turn) const;
  std::string live_path(int block) const;
  std::string part_path(int part, int64_t steps) const;
  std::string set_aside_path(int block, int turn) const;
  std::string source_path(int block) const;

 private:
  Files& files_;
  std::string path_;
};

// The name of a block's file: "0003.1.safetensors" is of block 3 and turn 1, or step 1; "0003.json"
// has 0 there. Nothing where it is no such name.
struct BlockName {
  int block = 0;
  int64_t number = 0;

  int turn() const { return static_cast<int>(number); }
};
std::optional<BlockName> parse_block_name(const std::string& name);

enum class Occupancy { nothing, unfinished, finished };

// What the folder `work_dir` holds. Changes nothing. UsageError, naming the reason, when `work_dir`
// is a file, when it holds something that no run writes, or a run folder of another version.
Occupancy inspect_work_dir(Files& files, const std::string& work_dir);

}  // namespace bitmill
