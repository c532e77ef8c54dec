#pragma once
// From the user's settings to the options of the `tune` job.

#include <optional>
#include <string>

#include "base/files.hpp"
#include "cli/options/option_list.hpp"
#include "pipeline/job/tune_job.hpp"

namespace bitmill {

OptionGroups tune_option_groups();

struct TuneRequest {
  TuneOptions options;
  bool dry_run = false;
  bool json = false;
  std::optional<double> time_limit_s;
  std::string backend_note;  // of BackendChoice
};

// UsageError for values that are missing or out of range.
TuneRequest read_tune_request(Files& files, const Settings& settings);

}  // namespace bitmill
