#include "kernels/launch.hpp"

namespace bitmill::kernels {

bool compiled() { return true; }

const char* error_text(cudaError_t error) { return cudaGetErrorString(error); }

}  // namespace bitmill::kernels
