#pragma once
// What CUDA's errors mean for whoever runs bitmill: words, and what to try.

#include <string>

#include "kernels/launch.hpp"

namespace bitmill {

// "cudaErrorNoDevice: no CUDA-capable device is detected".
std::string cuda_words(kernels::cudaError_t error);
// What to do about it; empty where only the place of the error could tell.
std::string what_to_try(kernels::cudaError_t error);
// Whether the device, or the way to it, broke: nothing that this program did.
bool is_device_lost(kernels::cudaError_t error);

// 13000 as "13.0"; empty for 0, which CUDA says where there is no driver.
std::string cuda_version_text(int version);
// Why this process sees no device, and what to try. `error` is what cudaGetDeviceCount() returned;
// success when it found none. `driver`, `runtime`: versions as CUDA writes them, 13000.
std::string why_no_devices(kernels::cudaError_t error, int driver, int runtime);

// "NVIDIA H200 (cuda:0) on n1"; "cuda:0 on n1" where the device does not say its name.
std::string cuda_place(int index);

}  // namespace bitmill
