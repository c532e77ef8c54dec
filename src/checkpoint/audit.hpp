#pragma once
// Compares every file of a run with the hashes that the file carries. Changes nothing, and works
// also while the run goes on.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "base/thread_pool.hpp"

namespace bitmill {

struct FileFault {
  std::string path;
  std::string what;  // what is wrong, and what to do
};

struct RunAudit {
  std::string state_path;         // the state folder that was read
  int64_t files = 0;              // that were read
  int64_t bytes = 0;              // in these files
  std::vector<FileFault> faults;  // sorted by path
  std::vector<int> redo_blocks;   // blocks that --redo-blocks can repair, ascending

  bool sound() const { return faults.empty(); }
};

// UsageError when `work_dir` holds no run. It is no fault when the run removes a file during the
// audit.
RunAudit audit_run(Files& files, const std::string& work_dir, ThreadPool& pool);

}  // namespace bitmill
