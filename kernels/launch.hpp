#pragma once
// The types that every launcher uses: it takes a stream, and returns CUDA's own error code.
//
// A build without CUDA has the same names and the same launchers, so callers need no #ifdef. There
// every launcher returns cudaErrorNotSupported and does not use its arguments.

#ifdef BITMILL_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

namespace bitmill::kernels {

#ifdef BITMILL_HAS_CUDA
using ::cudaError_t;
using ::cudaStream_t;
using enum ::cudaError;
#else
// The same values as in CUDA.
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNotSupported = 801
};
using cudaStream_t = struct CUstream_st*;
#endif

// Whether the launchers of this build can launch anything.
bool compiled();

// The CUDA runtime's words for `error`. In a build without CUDA: how to build with it.
const char* error_text(cudaError_t error);

}  // namespace bitmill::kernels
