// Streams, as cuda_runtime_api.h declares them.

#include <cuda_runtime_api.h>

#include <memory>

#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/event_table.hpp"
#include "emulation/runtime/process.hpp"
#include "emulation/runtime/stream_table.hpp"

using namespace bitmill::fake_cuda;

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* out, unsigned flags, int priority) {
  EMULATION_ENTER();
  if (out == nullptr || (flags & ~static_cast<unsigned>(cudaStreamNonBlocking)) != 0) {
    return give(cudaErrorInvalidValue);
  }
  *out = make_stream(current_device(), (flags & cudaStreamNonBlocking) == 0, priority);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags) {
  return cudaStreamCreateWithPriority(out, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t* out) { return cudaStreamCreateWithPriority(out, 0, 0); }

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  EMULATION_ENTER();
  if (handle == nullptr || handle == cudaStreamLegacy) return give(cudaErrorInvalidResourceHandle);
  if (const cudaError_t error = refuse_while_captured(handle); error != cudaSuccess) {
    return give(error);
  }
  return give(destroy_stream(handle));
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  EMULATION_ENTER();
  if (const cudaError_t error = refuse_while_captured(handle); error != cudaSuccess) {
    return give(error);
  }
  const std::shared_ptr<Stream> stream = find_stream(handle);
  if (stream == nullptr) return give(cudaErrorInvalidResourceHandle);
  order_with_default(stream);
  stream->wait(stream->last());
  return give(sticky_error(stream->device));
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  EMULATION_ENTER();
  if (const cudaError_t error = refuse_while_captured(handle); error != cudaSuccess) {
    return give(error);
  }
  const std::shared_ptr<Stream> stream = find_stream(handle);
  if (stream == nullptr) return give(cudaErrorInvalidResourceHandle);
  if (!stream->idle()) return cudaErrorNotReady;
  return give(sticky_error(stream->device));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned flags) {
  EMULATION_ENTER();
  const std::shared_ptr<Event> event = find_event(event_handle);
  const std::shared_ptr<Stream> stream = find_stream(handle);
  if (event == nullptr || stream == nullptr) return give(cudaErrorInvalidResourceHandle);
  if (flags != cudaEventWaitDefault) return not_emulated("cudaEventWaitExternal");
  if (const CapturePoint point = event->captured(); point.capture != nullptr) {
    const CapturePoint* const own = capture_of(handle);
    if (own != nullptr && own->capture != point.capture) {
      return give(cudaErrorStreamCaptureMerge);
    }
    if (handle == nullptr) return give(cudaErrorStreamCaptureImplicit);
    join_capture(handle, point);
    return cudaSuccess;
  }
  if (capture_of(handle) != nullptr) {
    refuse_while_captured(handle);
    return give(cudaErrorStreamCaptureIsolation);
  }
  order_with_default(stream);
  block(*stream, event->mark());
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  EMULATION_ENTER();
  if (function == nullptr) return give(cudaErrorInvalidValue);
  return give(enqueue(handle, [function, data] {
    const InHostFunction here;
    function(data);
  }));
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  EMULATION_ENTER();
  const std::shared_ptr<Stream> stream = find_stream(handle);
  if (stream == nullptr) return give(cudaErrorInvalidResourceHandle);
  *priority = stream->priority;
  return cudaSuccess;
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  EMULATION_ENTER();
  const std::shared_ptr<Stream> stream = find_stream(handle);
  if (stream == nullptr) return give(cudaErrorInvalidResourceHandle);
  *flags = stream->blocking ? cudaStreamDefault : cudaStreamNonBlocking;
  return cudaSuccess;
}
