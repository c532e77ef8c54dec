#pragma once
// From the user's settings to the options of the `preprocess` job.

#include <optional>
#include <string>

#include "base/files.hpp"
#include "cli/options/option_list.hpp"
#include "cli/options/quantize_options.hpp"
#include "pipeline/job/preprocess_job.hpp"

namespace bitmill {

OptionGroups preprocess_option_groups();

struct PreprocessRequest {
  PreprocessOptions options;
  // Makes the base first; none where --packed gives one. Its output folder is options.packed.
  std::optional<QuantizeRequest> base;
  bool dry_run = false;
  int planned_ranks = 0;  // of a dry run that only reads config.json; 0: none
  bool json = false;
  std::string page;  // of the curve of losses; empty: none
  std::optional<double> time_limit_s;
  std::string backend_note;  // of BackendChoice
};

// UsageError for values that are missing, out of range or contradict each other.
PreprocessRequest read_preprocess_request(Files& files, const Settings& settings);

}  // namespace bitmill
