#pragma once
// The kept streams in a run folder, as rank 0 looks at them: which streams they are, which of them
// can be used, and how far the run has come.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/frontier_files.hpp"
#include "schedule/resume.hpp"

namespace bitmill {

// The stream's name in FrontierFiles: "student-0012.1" is what block 12 reads at turn 1;
// "teacher-0012".
std::string file_name_of(const StreamId& stream);

struct FrontierStock {
  std::map<StreamId, KeptStream> usable;
  std::vector<KeptStream> rest;
  std::vector<std::string> troubles;  // why the rest cannot be used

  KeptStreams streams() const;  // that are usable
  // Of what is not in `used`.
  int64_t bytes_besides(const KeptStreams& used) const;
};

// A stream can be used when it is whole, and when no block that made it has changed. FileError when
// the folder cannot be listed.
FrontierStock take_stock(const FrontierFiles& files, const RunState& state, const Plan& plan,
                         const std::vector<BlockDone>& done, int64_t samples);

// What the folder has by now; asks for lists of names, not for single files. (On NFS, a file that
// another host has written may count as missing for a while when it was asked for before. A new
// list ends that.) FileError, FormatError when something cannot be read.
std::vector<BlockDone> committed_blocks(const RunState& state, const Plan& plan);

}  // namespace bitmill
