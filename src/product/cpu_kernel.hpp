#pragma once
// Which of the CPU kernels computes: chosen once at the start, by what the processor can do.

#include <string>
#include <string_view>
#include <vector>

#include "kernels/cpu/kernel.hpp"

namespace bitmill {

using CpuKernel = kernels::cpu::Kernel;

// `wanted`: "auto", or the name of a kernel: "plain", "avx2", "avx512vnni". "auto" takes the
// fastest that this processor runs. UsageError for a name that is unknown, was not compiled for
// this kind of processor, or needs what this processor lacks: nothing else is taken in its place.
// The kernel's `name` is for reports. It lives forever.
const CpuKernel& choose_cpu_kernel(std::string_view wanted);

// The names of the kernels that this processor runs, the fastest first. The last is "plain".
std::vector<std::string> usable_cpu_kernels();

// Why "auto" takes a slow kernel, in a sentence for people; empty when it takes a fast one.
std::string slow_kernel_note();

}  // namespace bitmill
