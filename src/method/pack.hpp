#pragma once
// From a trained linear to what is stored: every vector is rounded to float16 here, once.

#include "backend/backend.hpp"
#include "format/packed_linear.hpp"

namespace bitmill {

// row_scale = alpha r1 and row_mean = mu r1 are each folded in float32, then rounded. NumericError
// saying which vector and row when a value does not fit float16; `name` is for that message.
PackedLinear pack_linear(const std::string& name, const FrozenLinear& frozen,
                         const LearnedLinear& learned);

}  // namespace bitmill
