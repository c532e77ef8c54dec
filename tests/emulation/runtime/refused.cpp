// Calls that libc10_cuda.so is linked to and nobody of ours makes: each says that it is not
// emulated. Others are missing altogether, so that a program which needs one does not link.

#include <cuda_runtime_api.h>

#include "emulation/runtime/errors.hpp"

using bitmill::fake_cuda::not_emulated;

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function,
                                             unsigned /*version*/, unsigned long long /*flags*/,
                                             cudaDriverEntryPointQueryResult* result) {
  *function = nullptr;
  if (result != nullptr) *result = cudaDriverEntryPointSymbolNotFound;
  not_emulated(symbol);  // a function of the driver
  return cudaErrorSymbolNotFound;
}

cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t, cudaGraphNode_t*, cudaGraphEdgeData*,
                                         size_t*) {
  return not_emulated(__func__);
}
cudaError_t cudaIpcCloseMemHandle(void*) { return not_emulated(__func__); }
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t*, void*) { return not_emulated(__func__); }
cudaError_t cudaIpcOpenMemHandle(void**, cudaIpcMemHandle_t, unsigned) {
  return not_emulated(__func__);
}
cudaError_t cudaMemPoolSetAccess(cudaMemPool_t, const cudaMemAccessDesc*, size_t) {
  return not_emulated(__func__);
}
