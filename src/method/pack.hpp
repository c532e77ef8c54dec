#pragma once
// From a trained linear to what is stored, and back. Every vector is rounded to float16 here, once.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "base/thread_pool.hpp"
#include "format/packed_linear.hpp"
#include "method/grid.hpp"

namespace bitmill {

// row_scale = alpha r1 and row_mean = mu r1 are each folded in float32, then rounded. NumericError
// saying which vector and row when a value does not fit float16; `name` is for that message.
PackedLinear pack_linear(const std::string& name, const FrozenLinear& frozen,
                         const LearnedLinear& learned);

// What tuning changes of a packed linear.
struct StoredScales {
  std::vector<uint16_t> row_scale, row_mean, col_gain;  // as in PackedLinear
};
// Folded and rounded as above, from learned values and the mean that `packed` has. Values as
// unpack_linear() gives them come out as they are in `packed`.
StoredScales round_scales(const std::string& name, const PackedLinear& packed,
                          const LearnedLinear& learned);

// The way back.

// float32 [halves.size()].
at::Tensor widened(const std::vector<uint16_t>& halves);

// With alpha as alpha r1 is stored, mu as mu r1 is, and r1 = 1; the stored r2 is not in it.
InitialLinear unpack_linear(const PackedLinear& packed, ThreadPool& pool);

}  // namespace bitmill
