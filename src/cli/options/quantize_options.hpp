#pragma once
// From what a user set to what `quantize` is told: the option table, recipes and checks.

#include <optional>

#include "base/files.hpp"
#include "cli/options/hardware.hpp"
#include "cli/options/option_list.hpp"
#include "cli/options/pictures.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

OptionGroups quantize_option_groups();

// Those that determine the result and are set by a recipe, with the default recipe's values.
OptionGroup method_option_group();
// What `plan` needs of them: `model`, recipe, method, stages, walk and stream memory.
QuantizeOptions read_plan_options(Files& files, const Settings& given);

struct QuantizeRequest {
  QuantizeOptions options;
  bool dry_run = false;
  bool json = false;
  std::optional<double> time_limit_s;
  std::string hardware = default_hardware;
  PictureRequest pictures;
  Settings given;  // without a recipe's
};

// `given` without a recipe's settings: they are added here. UsageError for values out of range and
// for values that contradict each other.
QuantizeRequest read_quantize_request(Files& files, const Settings& given);

}  // namespace bitmill
