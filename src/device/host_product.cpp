#include "device/host_product.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/cpu/Utils.h>

namespace bitmill {

std::string why_no_bfloat16() {
  const auto capabilities = at::cpu::get_cpu_capabilities();
  for (const char* name : {"avx512_bf16", "amx_bf16"}) {
    const auto found = capabilities.find(name);
    if (found != capabilities.end() && found->second.isBool() && found->second.toBool()) return {};
  }
  return "this processor has neither AVX512_BF16 nor AMX, and would be slower than with float32";
}

void host_product_into(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  const at::NoGradGuard no_grad;
  if (b.scalar_type() == at::kFloat) {
    at::Tensor target = out;
    at::mm_out(target, a, b);
  } else {
    out.copy_(at::mm(a.to(b.scalar_type()), b));
  }
}

}  // namespace bitmill
