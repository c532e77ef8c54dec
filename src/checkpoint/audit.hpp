#pragma once
// Every file of a run held against the hashes it carries, from outside and without a change; also
// while the run goes on.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "base/thread_pool.hpp"

namespace bitmill {

struct FileFault {
  std::string path;
  std::string what;  // with what to do
};

struct RunAudit {
  std::string state_path;         // of the generation that was looked at
  int64_t files = 0;              // looked at
  int64_t bytes = 0;              // in them
  std::vector<FileFault> faults;  // by path
  std::vector<int> redo_blocks;   // that --redo-blocks would build again, ascending

  bool sound() const { return faults.empty(); }
};

// UsageError when `work_dir` holds no run. A file that the run removes while this looks is no
// fault.
RunAudit audit_run(Files& files, const std::string& work_dir, ThreadPool& pool);

}  // namespace bitmill
