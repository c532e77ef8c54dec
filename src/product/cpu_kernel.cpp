#include "product/cpu_kernel.hpp"

#ifdef BITMILL_X86_KERNELS
#include <cpuid.h>
#endif
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"

namespace bitmill {
namespace {

#ifdef BITMILL_X86_KERNELS
// __builtin_cpu_supports() of clang 16 does not know this one.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

struct KernelRow {
  std::string_view name;
  std::string_view needs;       // in words
  const CpuKernel* (*table)();  // nullptr when it was not compiled for this kind of processor
  bool (*runs)();
};

// The fastest first.
constexpr std::array<KernelRow, 3> kernel_rows = {{
#ifdef BITMILL_X86_KERNELS
    {"avx512vnni", "an x86-64 processor with AVX-512 F, BW, DQ, VL and VNNI",
     [] { return &kernels::cpu::avx512vnni_kernel(); },
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("avx512vnni");
     }},
    {"avx2", "an x86-64 processor with AVX2 and F16C", [] { return &kernels::cpu::avx2_kernel(); },
     [] { return __builtin_cpu_supports("avx2") && has_f16c(); }},
#else
    {"avx512vnni", "an x86-64 processor with AVX-512 F, BW, DQ, VL and VNNI",
     []() -> const CpuKernel* { return nullptr; }, [] { return false; }},
    {"avx2", "an x86-64 processor with AVX2 and F16C", []() -> const CpuKernel* { return nullptr; },
     [] { return false; }},
#endif
    {"plain", "any processor", [] { return &kernels::cpu::plain_kernel(); }, [] { return true; }},
}};

}  // namespace

const CpuKernel& choose_cpu_kernel(std::string_view wanted) {
  const std::string usable = fmt::format("{}", fmt::join(usable_cpu_kernels(), ", "));
  for (const KernelRow& row : kernel_rows) {
    if (wanted == "auto" && row.runs()) return *row.table();
    if (wanted != row.name) continue;
    BITMILL_CHECK(
        row.runs(), UsageError,
        fmt::format("CPU kernel \"{}\" needs {}: this machine runs {}", wanted, row.needs, usable));
    return *row.table();
  }
  throw UsageError(
      fmt::format("there is no CPU kernel \"{}\"{}: choose auto, or one that this "
                  "machine runs: {}",
                  wanted, wanted == "neon" ? " yet; ARM runs plain" : "", usable));
}

std::vector<std::string> usable_cpu_kernels() {
  std::vector<std::string> names;
  for (const KernelRow& row : kernel_rows) {
    if (row.runs()) names.emplace_back(row.name);
  }
  return names;
}

std::string slow_kernel_note() {
  if (usable_cpu_kernels().size() > 1) return "";
#ifdef BITMILL_X86_KERNELS
  return "this processor has no AVX2: the plain kernel computes, many times slower than the others";
#else
  return "there are fast kernels for x86-64 only: the plain kernel computes, and is slower";
#endif
}

}  // namespace bitmill
