#pragma once
// CUDA for our kernels, from whichever compiler reads them: nvcc compiles them for a GPU; any other
// C++ compiler runs them on the CPU, in the block emulator (tests/emulation/block). This header and
// tile.hpp are the only ones that know which.
//
// Kernels use CUDA's own names (threadIdx, __syncthreads, __shfl_xor_sync ...), and from here:
//
//   BITMILL_SHARED(float, sums, [8][32]);       a shared array of fixed size, aligned to 16 bytes
//   BITMILL_DYNAMIC_SHARED(uint32_t, words);    its size is the launch's; aligned to 16 bytes
//   launch(kernel, {.blocks, .threads, .shared_bytes}, stream, arguments...)
//
// A kernel takes numbers, pointers, and structs of both. A struct has a member function template
// each_pointer(visit) that calls visit(member) for every pointer in it.

#include <cstddef>
#include <cstdint>

#include "kernels/launch.hpp"

#ifdef __CUDACC__

#define BITMILL_SHARED(type, name, dimensions) __shared__ __align__(16) type name dimensions
#define BITMILL_DYNAMIC_SHARED(type, name)          \
  extern __shared__ uint4 bitmill_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(bitmill_dynamic_shared)

#else

#include "tests/emulation/block/device_code.hpp"

#endif

namespace bitmill::kernels {

struct Extent3 {
  unsigned x = 1, y = 1, z = 1;
};

struct LaunchShape {
  Extent3 blocks;
  Extent3 threads;  // of a block, at most 1,024
  size_t shared_bytes = 0;
};

// Queues the kernel on `stream`. Returns the result of the launch alone: what goes wrong while the
// kernel runs comes from the next call that waits for the stream. (The emulator without a CUDA
// runtime under it runs the kernel at once, and throws what goes wrong.)
template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream,
                   Arguments... arguments) {
#ifdef __CUDACC__
  // 48 KB need no asking, static arrays included (CUDA C++ Programming Guide, "Shared Memory"): 16
  // KB of them are left for those.
  constexpr size_t without_asking = 32 * 1024;
  if (shape.shared_bytes > without_asking) {
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
    if (error != cudaSuccess) return error;
  }
  kernel<<<dim3(shape.blocks.x, shape.blocks.y, shape.blocks.z),
           dim3(shape.threads.x, shape.threads.y, shape.threads.z), shape.shared_bytes, stream>>>(
      static_cast<Parameters>(arguments)...);
  return cudaGetLastError();
#else
  return static_cast<cudaError_t>(emulation::submit(
      {{shape.blocks.x, shape.blocks.y, shape.blocks.z},
       {shape.threads.x, shape.threads.y, shape.threads.z},
       shape.shared_bytes,
       emulation::bind_kernel<Parameters...>(kernel, static_cast<Parameters>(arguments)...)},
      stream));
#endif
}

}  // namespace bitmill::kernels
