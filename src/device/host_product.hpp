#pragma once
// Matrix products on a CPU whose operands may be rounded to bfloat16. One thread computes one
// product: the caller cuts its work into tiles.

#include <ATen/core/Tensor.h>

#include <string>

namespace bitmill {

// Why bfloat16 products are not offered on this processor, in words; empty where they are: it has
// AVX512_BF16 or AMX. Others would take longer than with float32.
std::string why_no_bfloat16();

// out [m, n] = a [m, k] b [k, n], all on the CPU; out is float32. Where b is bfloat16, a is rounded
// to it; sums are float32, and the result is rounded to bfloat16 once. Without gradient.
void host_product_into(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b);

}  // namespace bitmill
