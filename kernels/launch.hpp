#pragma once
// What every launcher takes and returns: a stream, and CUDA's own error code.
//
// A build without CUDA has the same names and the same launchers, so callers need no #ifdef: every
// launcher of such a build returns cudaErrorNotSupported and touches none of its arguments.

#ifdef BITMILL_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

namespace bitmill::kernels {

#ifdef BITMILL_HAS_CUDA
using ::cudaError_t;
using ::cudaStream_t;
using enum ::cudaError;
#else
// CUDA's values.
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorNotSupported = 801 };
using cudaStream_t = struct CUstream_st*;
#endif

// Whether the launchers of this build can launch anything.
bool compiled();

// The runtime's words for `error`; in a build without CUDA, what to do about that.
const char* error_text(cudaError_t error);

}  // namespace bitmill::kernels
