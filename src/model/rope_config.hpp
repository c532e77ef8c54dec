#pragma once
// What config.json says about rotary positions. Different versions of the transformers library have
// written it in different forms; all of them are read.

#include <span>
#include <string>
#include <vector>

#include "model/config.hpp"
#include "model/config_fields.hpp"

namespace bitmill {

// Problems are added to `fields`. A scaling that is not computed is one, and a key that nobody
// knows and `allowed` does not have ("rope_scaling.name"). Those of `allowed` that were needed are
// added to `used`.
RopeConfig read_rope(ConfigFields& fields, int64_t context, std::span<const std::string> allowed,
                     std::vector<std::string>& used);

}  // namespace bitmill
