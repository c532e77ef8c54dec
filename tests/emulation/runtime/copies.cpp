#include "emulation/runtime/copies.hpp"

#include <cstring>
#include <memory>
#include <vector>

#include "emulation/runtime/device_memory.hpp"
#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/pinned.hpp"
#include "emulation/runtime/stream_table.hpp"

namespace bitmill::fake_cuda {
namespace {

enum class Side { device, pinned, pageable };

Side side_of(const void* address) {
  if (is_device_address(address)) return Side::device;
  return PinnedMemory::of_process().contains(address) ? Side::pinned : Side::pageable;
}

bool fits(cudaMemcpyKind kind, bool to_device, bool from_device) {
  switch (kind) {
    case cudaMemcpyDefault:
      return true;
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
  }
  return false;
}

// All rows lie in one live allocation, or the address is the host's.
bool reachable(const void* address, const CopyShape& shape, size_t pitch) {
  if (!is_device_address(address)) return true;
  const size_t bytes = pitch * (shape.rows - 1) + shape.width;
  return DeviceMemory::of_process().around(address, bytes).has_value();
}

void move_rows(void* to, const void* from, const CopyShape& shape) {
  for (size_t row = 0; row < shape.rows; ++row) {
    std::memmove(static_cast<char*>(to) + row * shape.to_pitch,
                 static_cast<const char*>(from) + row * shape.from_pitch, shape.width);
  }
}

Task staged_copy(void* to, const void* from, const CopyShape& shape) {
  auto staged = std::make_shared<std::vector<char>>(shape.width * shape.rows);
  move_rows(staged->data(), from, {shape.width, shape.rows, shape.width, shape.from_pitch});
  return [to, staged, shape] {
    move_rows(to, staged->data(), {shape.width, shape.rows, shape.to_pitch, shape.width});
  };
}

cudaError_t wait_for_stream(cudaStream_t handle) {
  const std::shared_ptr<Stream> stream = find_stream(handle);
  stream->wait(stream->last());
  return sticky_error(stream->device);
}

}  // namespace

cudaError_t copy(void* to, const void* from, const CopyShape& shape, cudaMemcpyKind kind,
                 cudaStream_t stream, CopyCall call) {
  if (shape.width == 0 || shape.rows == 0) return cudaSuccess;
  if (to == nullptr || from == nullptr) return cudaErrorInvalidValue;
  const Side to_side = side_of(to), from_side = side_of(from);
  if (!fits(kind, to_side == Side::device, from_side == Side::device) ||
      !reachable(to, shape, shape.to_pitch) || !reachable(from, shape, shape.from_pitch)) {
    return cudaErrorInvalidValue;
  }
  const bool captured = capture_of(stream) != nullptr;
  void* const real_to = alias(to);
  const void* const real_from = alias(from);
  Task task;
  if (from_side == Side::pageable && !captured) {
    task = staged_copy(real_to, from, shape);
  } else {
    task = [real_to, real_from, shape] { move_rows(real_to, real_from, shape); };
  }
  if (const cudaError_t error = enqueue(stream, task); error != cudaSuccess) return error;
  const bool all_device = to_side == Side::device && from_side == Side::device;
  const bool wait = call == CopyCall::synchronous ? !all_device : to_side == Side::pageable;
  return wait && !captured ? wait_for_stream(stream) : cudaSuccess;
}

cudaError_t fill(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  const bool reached = is_device_address(to)
                           ? DeviceMemory::of_process().around(to, bytes).has_value()
                           : PinnedMemory::of_process().contains(to);
  if (!reached) return cudaErrorInvalidValue;
  return enqueue(stream, [real = alias(to), value, bytes] { std::memset(real, value, bytes); });
}

}  // namespace bitmill::fake_cuda
