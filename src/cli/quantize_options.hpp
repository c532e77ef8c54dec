#pragma once
// From what a user set to what `quantize` is told: the option table, recipes and checks.

#include <optional>
#include "base/files.hpp"

#include "cli/option_list.hpp"
#include "pipeline/quantize.hpp"

namespace bitmill {

OptionGroups quantize_option_groups();

struct QuantizeRequest {
  QuantizeOptions options;
  bool dry_run = false;
  bool json = false;
  std::optional<double> time_limit_s;
};

// `given` without a recipe's settings: they are added here. UsageError for values out of range and
// for values that contradict each other.
QuantizeRequest read_quantize_request(Files& files, const Settings& given);

}  // namespace bitmill
