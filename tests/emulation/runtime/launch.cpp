#include "emulation/runtime/launch.hpp"

#include <memory>
#include <string>
#include <utility>

#include "emulation/runtime/device_memory.hpp"
#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/faults.hpp"
#include "emulation/runtime/pinned.hpp"
#include "emulation/runtime/process.hpp"
#include "emulation/runtime/stream_table.hpp"

namespace bitmill::fake_cuda {

cudaError_t launch(cudaStream_t stream, Task kernel) {
  if (const cudaError_t error = enter("cudaLaunchKernel"); error != cudaSuccess) return error;
  const std::shared_ptr<Stream> found = find_stream(stream);
  if (found == nullptr || found->device != current_device()) {
    return give(cudaErrorInvalidResourceHandle);
  }
  return give(enqueue(stream, [kernel = std::move(kernel)] {
    std::string error;
    if (wanted_failure("kernel", &error)) {
      throw DeviceError{{cudaErrorIllegalAddress, "a kernel's fault that was asked for"}};
    }
    kernel();
  }));
}

void kernel_failed(cudaError_t error, const char* text) {
  break_device(current_device(), error, text);
}

const void* kernel_address(const void* address) {
  if (!is_device_address(address)) {
    const bool reached = address == nullptr || PinnedMemory::of_process().contains(address);
    return reached ? address : unreachable_address();
  }
  // One past the end belongs to an allocation, too.
  const auto place = DeviceMemory::of_process().around(address, 0);
  if (place && place->device != current_device()) return address;
  return alias(address);
}

}  // namespace bitmill::fake_cuda
