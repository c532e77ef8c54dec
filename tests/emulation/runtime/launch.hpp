#pragma once
// Launches of kernels: what <<<>>> does, for the emulator of blocks (emulation/glue).

#include <cuda_runtime_api.h>

#include "emulation/runtime/stream.hpp"

namespace bitmill::fake_cuda {

// Puts a kernel onto `stream`, which must be one of the current device. Returns what the launch
// gives, and records it as the last error. A call of "cudaLaunchKernel" for failures that are asked
// for; a kernel that runs is one of "kernel".
cudaError_t launch(cudaStream_t stream, Task kernel);

// A kernel that runs on the calling thread did something wrong: its device is broken from now on.
void kernel_failed(cudaError_t error, const char* text);

// Where kernels of the current device find what is at `address`: another address for its memory,
// the same one for pinned memory and null. Memory of another device and pageable memory of the host
// are where nobody can reach them.
const void* kernel_address(const void* address);

}  // namespace bitmill::fake_cuda
