#pragma once
// Options of every job that keeps its state in a run folder.

#include <optional>
#include <string>

#include "cli/options/option_list.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

OptionGroup run_folder_options();
// The same for a job with a corpus, whose index is there, too.
OptionGroup run_folder_options_with_corpus();
// One of them, which `plan` has too.
Option stream_memory_option();

struct RunFolderRequest {
  std::string work_dir, scratch_dir;
  int64_t stream_memory = 0;  // bytes; 0: no limit
  Resume resume = Resume::automatic;
  bool allow_mixed_hardware = false;
  std::optional<double> time_limit_s;
};

// UsageError for values out of range.
RunFolderRequest read_run_folder(const Settings& settings, const std::string& output_dir);

// Fills the fields of the same names in a job's request. REQUIRES: its output_dir is set.
template <class Request>
void take_run_folder(const Settings& settings, Request& request) {
  const RunFolderRequest folder = read_run_folder(settings, request.options.output_dir);
  request.options.work_dir = folder.work_dir;
  request.options.scratch_dir = folder.scratch_dir;
  request.options.stream_memory = folder.stream_memory;
  request.options.resume = folder.resume;
  request.options.allow_mixed_hardware = folder.allow_mixed_hardware;
  request.time_limit_s = folder.time_limit_s;
}

}  // namespace bitmill
