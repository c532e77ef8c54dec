#pragma once
// What config.json says about rotary positions, in the forms that the transformers library has
// written over the years.

#include "model/config.hpp"
#include "model/config_fields.hpp"

namespace bitmill {

// Problems, among them every scaling that is not computed, are added to `fields`.
RopeConfig read_rope(ConfigFields& fields, int64_t context);

}  // namespace bitmill
