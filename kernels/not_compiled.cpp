// The launchers of a build without CUDA.

#include "kernels/launch.hpp"
#include "kernels/pack_signs.hpp"

namespace bitmill::kernels {

bool compiled() { return false; }

const char* error_text(cudaError_t error) {
  return error == cudaSuccess
             ? "no error"
             : "this bitmill was built without CUDA kernels; build one that has them with "
               "cmake --preset cuda && cmake --build --preset cuda";
}

cudaError_t pack_signs(const PackSigns& /*task*/, cudaStream_t /*stream*/) {
  return cudaErrorNotSupported;
}

}  // namespace bitmill::kernels
