#pragma once
// The calling thread's device, and whether the runtime may be used here and now.

#include <cuda_runtime_api.h>

namespace bitmill::fake_cuda {

int device_count();
// Of the calling thread; 0 at first. A stream's thread has its stream's device.
int current_device();
void set_current_device(int device);

// cudaErrorNoDevice without a device; cudaErrorInitializationError in a child of fork(), which has
// none of the streams; cudaErrorNotPermitted inside a host function that a stream runs.
// Begins the runtime at the first call: signal handler, default streams, what happens at exit.
cudaError_t why_not_usable();

// Marks the calling thread as running a host function of a stream.
class InHostFunction {
 public:
  InHostFunction();
  InHostFunction(const InHostFunction&) = delete;
  InHostFunction& operator=(const InHostFunction&) = delete;
  ~InHostFunction();
};

}  // namespace bitmill::fake_cuda
