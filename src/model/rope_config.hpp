#pragma once
// What config.json says about rotary positions. Different versions of the transformers library have
// written it in different forms; all of them are read.

#include "model/config.hpp"
#include "model/config_fields.hpp"

namespace bitmill {

// Problems are added to `fields`. A scaling that is not computed is one.
RopeConfig read_rope(ConfigFields& fields, int64_t context);

}  // namespace bitmill
