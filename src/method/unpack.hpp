#pragma once
// The way back from a packed linear to one that can be trained: pack.hpp's counterpart.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "base/thread_pool.hpp"
#include "format/packed_linear.hpp"
#include "method/grid.hpp"

namespace bitmill {

// float32 [halves.size()].
at::Tensor widened(const std::vector<uint16_t>& halves);

// With alpha as alpha r1 is stored, mu as mu r1 is, and r1 = 1; the stored r2 is not in it.
InitialLinear unpack_linear(const PackedLinear& packed, ThreadPool& pool);

}  // namespace bitmill
