#pragma once
// From the user's settings to the options of the `quantize` job: the option table, recipes, checks.

#include <optional>

#include "base/files.hpp"
#include "cli/options/hardware.hpp"
#include "cli/options/option_list.hpp"
#include "cli/options/pictures.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

OptionGroups quantize_option_groups();

// The options that determine the result and that a recipe may set, with the default recipe's
// values.
OptionGroup method_option_group();
// The part of the options that `plan` needs: model, recipe, method, stages, walk, stream memory.
QuantizeOptions read_plan_options(Files& files, const Settings& given);

struct QuantizeRequest {
  QuantizeOptions options;
  bool dry_run = false;
  bool json = false;
  std::optional<double> time_limit_s;
  std::string hardware = default_hardware;
  std::string backend_note = {};  // BackendChoice::note
  PictureRequest pictures;
  Settings given;  // without those of the recipe
};

// `given` is without the settings of the recipe: they are added here. UsageError for values out of
// range and for values that contradict each other.
QuantizeRequest read_quantize_request(Files& files, const Settings& given);

}  // namespace bitmill
