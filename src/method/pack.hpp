#pragma once
// From a trained linear to what is stored, and back. Every vector is rounded to float16 here, once.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "device/device.hpp"
#include "format/packed_linear.hpp"
#include "method/grid.hpp"

namespace bitmill {

// row_scale = alpha r1 and row_mean = mu r1 are each computed in float32, then rounded.
// NumericError names the vector and the row of a value that does not fit float16; `name` is for
// that message. Both arguments may be on a GPU, which then packs the signs of latents, or on the
// host, each by itself; the result is on the host.
PackedLinear pack_linear(const std::string& name, const FrozenLinear& frozen,
                         const LearnedLinear& learned);

// The words of the signs of latents [rows, low], wherever these are; as in PackedLinear, on the
// host.
std::vector<uint32_t> pack_latents(const at::Tensor& latents);

// The vectors of a packed linear that tuning changes.
struct StoredScales {
  std::vector<uint16_t> row_scale, row_mean, col_gain, code_scale;  // as in PackedLinear
};
// Computed and rounded as above, from learned values, and from the mean in `packed`. code_scale is
// that of `packed` where it is not learned. For the values that unpack_linear() gives, the result
// is equal to what `packed` has.
StoredScales round_scales(const std::string& name, const PackedLinear& packed,
                          const LearnedLinear& learned);

// The way back.

// float16 values as float32 [halves.size()].
at::Tensor widened(const std::vector<uint16_t>& halves);

// The stored alpha r1 becomes alpha, the stored mu r1 becomes mu, and r1 is 1. The stored r2 is not
// in the result. It is on the device, as FrozenLinear says: to a GPU go the packed words. `signs`:
// false where they are learned, and left undefined.
InitialLinear unpack_linear(const PackedLinear& packed, const Device& device, bool signs = true);

}  // namespace bitmill
