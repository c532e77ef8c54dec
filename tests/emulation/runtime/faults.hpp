#pragma once
// Work that a device does: what it touches wrongly ends the work, not the process. The host's wrong
// accesses end the process, as they must.

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

namespace bitmill::fake_cuda {

struct Outcome {
  cudaError_t error = cudaSuccess;
  std::string text;  // what happened, and where; empty for success
};

// What a task throws to end with this outcome.
struct DeviceError {
  Outcome outcome;
};

// Runs `work` on the calling thread. A memory fault, end_device_work() or an exception ends it
// early. After a fault and end_device_work() destructors of what it had on its stack do not run.
Outcome run_as_device(const std::function<void()>& work);

// Only inside run_as_device(), also on another stack: ends the work with this outcome.
[[noreturn]] void end_device_work(cudaError_t error, const char* text);

// What lies at an address that was touched wrongly: "is 4 bytes behind the end of allocation 3
// ...". Empty when the runtime knows nothing of it.
std::string explain(const void* address);

void install_fault_handler();
// A thread that does device work needs a stack of its own for the handler; once per thread.
void prepare_thread_for_faults();

}  // namespace bitmill::fake_cuda
