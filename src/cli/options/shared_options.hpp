#pragma once
// Options that several commands have.

#include <string>
#include <string_view>
#include <vector>

#include "cli/options/option_list.hpp"
#include "format/dtype.hpp"
#include "model/config.hpp"

namespace bitmill {

Option config_option();
Option threads_option();
Option timeout_option();
Option json_option(const std::string& what);

// The parts of "a,b"; none without the option. UsageError for an empty part, which says that they
// must be `of`, such as "names of files".
std::vector<std::string> read_list(const Settings& settings, const std::string& name,
                                   std::string_view of);

// For every command that reads a model: --allow-key and --tensor-prefix.
Option allow_key_option();
Option tensor_prefix_option();
// UsageError for an empty name.
ModelReading read_model_reading(const Settings& settings);

// What --backend and --dtype choose. `auto` is resolved: to cuda where this build has it and sees a
// GPU, which is tried out when the work begins, else to cpu.
struct BackendChoice {
  std::string backend = "cpu";
  Dtype dtype = Dtype::float32;
  std::string note = {};  // why `auto` took the CPU in a build with CUDA
};
Option gpu_backend_option();
Option dtype_option();
BackendChoice read_backend_choice(const Settings& settings);

}  // namespace bitmill
