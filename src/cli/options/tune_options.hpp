#pragma once
// From what a user set to what `tune` is told.

#include <optional>

#include "cli/options/option_list.hpp"
#include "pipeline/job/tune_job.hpp"

namespace bitmill {

OptionGroups tune_option_groups();

struct TuneRequest {
  TuneOptions options;
  bool dry_run = false;
  bool json = false;
  std::optional<double> time_limit_s;
};

// UsageError for what is missing or out of range.
TuneRequest read_tune_request(const Settings& settings);

}  // namespace bitmill
