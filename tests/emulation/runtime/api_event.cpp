// Events, as cuda_runtime_api.h declares them.

#include <cuda_runtime_api.h>

#include <chrono>
#include <memory>

#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/event_table.hpp"
#include "emulation/runtime/process.hpp"
#include "emulation/runtime/stream_table.hpp"

using namespace bitmill::fake_cuda;

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned flags) {
  EMULATION_ENTER();
  constexpr unsigned known = cudaEventBlockingSync | cudaEventDisableTiming;
  if ((flags & cudaEventInterprocess) != 0) return not_emulated("cudaEventInterprocess");
  if (out == nullptr || (flags & ~known) != 0) return give(cudaErrorInvalidValue);
  *out = make_event(current_device(), flags);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* out) { return cudaEventCreateWithFlags(out, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  EMULATION_ENTER();
  return destroy_event(handle) ? cudaSuccess : give(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t handle, cudaStream_t stream_handle,
                                     unsigned flags) {
  EMULATION_ENTER();
  const std::shared_ptr<Event> event = find_event(handle);
  const std::shared_ptr<Stream> stream = find_stream(stream_handle);
  if (event == nullptr || stream == nullptr || event->device != stream->device) {
    return give(cudaErrorInvalidResourceHandle);
  }
  if (flags != cudaEventRecordDefault) return not_emulated("cudaEventRecordExternal");
  if (const CapturePoint* const point = capture_of(stream_handle); point != nullptr) {
    event->record(*point);
    return cudaSuccess;
  }
  order_with_default(stream);
  event->record(mark_now(stream));
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream) {
  return cudaEventRecordWithFlags(handle, stream, cudaEventRecordDefault);
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  EMULATION_ENTER();
  const std::shared_ptr<Event> event = find_event(handle);
  if (event == nullptr) return give(cudaErrorInvalidResourceHandle);
  if (event->captured().capture != nullptr) return give(cudaErrorCapturedEvent);
  if (!event->mark().reached()) return cudaErrorNotReady;
  return give(sticky_error(event->device));
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  EMULATION_ENTER();
  const std::shared_ptr<Event> event = find_event(handle);
  if (event == nullptr) return give(cudaErrorInvalidResourceHandle);
  if (event->captured().capture != nullptr) return give(cudaErrorCapturedEvent);
  event->mark().wait();
  return give(sticky_error(event->device));
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  EMULATION_ENTER();
  const std::shared_ptr<Event> first = find_event(begin), second = find_event(end);
  if (first == nullptr || second == nullptr) return give(cudaErrorInvalidResourceHandle);
  if (((first->flags | second->flags) & cudaEventDisableTiming) != 0) {
    return give(cudaErrorInvalidResourceHandle);
  }
  const Mark from = first->mark(), to = second->mark();
  if (from.stream == nullptr || to.stream == nullptr) return give(cudaErrorInvalidResourceHandle);
  if (!from.reached() || !to.reached()) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(*to.time - *from.time).count();
  return cudaSuccess;
}
