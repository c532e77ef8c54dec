#pragma once
// All streams of the process: handles, default streams, how work gets onto a stream.

#include <cuda_runtime_api.h>

#include <memory>
#include <string>
#include <vector>

#include "emulation/runtime/capture.hpp"
#include "emulation/runtime/stream.hpp"

namespace bitmill::fake_cuda {

cudaStream_t make_stream(int device, bool blocking, int priority);
// The handle is no longer valid; what is queued is still done.
cudaError_t destroy_stream(cudaStream_t handle);

// The stream of a handle; null and cudaStreamLegacy are the default stream of the current device.
// Null when the handle is not valid (destroyed, never made), or is cudaStreamPerThread, which is
// not emulated.
std::shared_ptr<Stream> find_stream(cudaStream_t handle);

// Puts `task` onto the stream, or into the graph that is captured there. An invalid handle gives
// cudaErrorInvalidResourceHandle; the default stream during a capture
// cudaErrorStreamCaptureImplicit. Tasks may run several times when they are captured.
cudaError_t enqueue(cudaStream_t handle, Task task);

// What the calls that wait, ask or change must not do to a stream that is captured: breaks the
// capture and returns cudaErrorStreamCaptureUnsupported.
cudaError_t refuse_while_captured(cudaStream_t handle);
// The same for calls that concern the whole device (cudaMalloc, cudaDeviceSynchronize).
cudaError_t refuse_while_capturing();

// The default stream waits for the blocking streams of its device, and they wait for it: to be
// called before something is put onto `stream`.
void order_with_default(const std::shared_ptr<Stream>& stream);
// Also waits for streams that were destroyed.
void wait_for_device(int device);

// Capture. `point` is where the stream stands in the graph, to be changed in place; null when it
// is not captured. One thread captures a stream; others must not use it.
CapturePoint* capture_of(cudaStream_t handle);
cudaError_t begin_capture(cudaStream_t handle);
cudaError_t end_capture(cudaStream_t handle, Graph* graph);
void join_capture(cudaStream_t handle, const CapturePoint& point);

// Streams that were made and not destroyed, without the default ones.
size_t live_streams();
// At the end of the process: nothing further runs. A stream that does not end by itself is left.
void end_all_streams();

}  // namespace bitmill::fake_cuda
