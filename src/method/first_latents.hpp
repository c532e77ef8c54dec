#pragma once
// The first latents of a packed linear whose signs are trained end to end (METHOD.md, "Tuning").

#include <ATen/core/Tensor.h>

#include "base/thread_pool.hpp"
#include "format/packed_linear.hpp"

namespace bitmill {

// float32 [rows, low], on the host. The signs of the result are the packed ones. Where the sign
// that quantize would begin with is the packed one, a latent begins as there, from `original`
// (float32 [rows, cols], on the host: the weight that was packed). Elsewhere training has changed
// the sign, and the latent begins at 0.02 times the packed sign.
at::Tensor first_latents(const PackedLinear& packed, const at::Tensor& original, ThreadPool& pool);

}  // namespace bitmill
