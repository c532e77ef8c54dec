// Capturing streams into graphs and launching them, as cuda_runtime_api.h declares it. Graphs that
// are built node by node are not emulated: those calls are missing, so a program does not link.

#include <cuda_runtime_api.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/graph_table.hpp"
#include "emulation/runtime/stream_table.hpp"

using namespace bitmill::fake_cuda;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
  EMULATION_ENTER();
  return give(begin_capture(stream));  // every mode refuses what the strictest refuses
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* out) {
  EMULATION_ENTER();
  *out = nullptr;
  Graph graph;
  if (const cudaError_t error = end_capture(stream, &graph); error != cudaSuccess) {
    return give(error);
  }
  *out = keep_graph(std::move(graph));
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  EMULATION_ENTER();
  const CapturePoint* const point = capture_of(stream);
  *status = point == nullptr          ? cudaStreamCaptureStatusNone
            : point->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                      : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** nodes, const cudaGraphEdgeData** edges,
                                     size_t* count) {
  if (graph != nullptr || nodes != nullptr || edges != nullptr || count != nullptr) {
    return not_emulated("cudaStreamGetCaptureInfo of a graph's nodes");
  }
  if (const cudaError_t error = cudaStreamIsCapturing(stream, status); error != cudaSuccess) {
    return error;
  }
  const CapturePoint* const point = capture_of(stream);
  if (id != nullptr && point != nullptr) *id = point->capture->number;
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  EMULATION_ENTER();
  thread_local cudaStreamCaptureMode own = cudaStreamCaptureModeGlobal;
  std::swap(*mode, own);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t graph,
                                 unsigned long long flags) {
  EMULATION_ENTER();
  if ((flags & ~static_cast<unsigned long long>(cudaGraphInstantiateFlagAutoFreeOnLaunch)) != 0) {
    return not_emulated("cudaGraphInstantiate with these flags");
  }
  std::shared_ptr<const Graph> found = find_graph(graph);
  if (found == nullptr) return give(cudaErrorInvalidValue);
  *out = keep_executable(std::move(found));
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  EMULATION_ENTER();
  const std::shared_ptr<const Graph> graph = find_executable(executable);
  if (graph == nullptr) return give(cudaErrorInvalidValue);
  if (capture_of(stream) != nullptr) return not_emulated("cudaGraphLaunch in a graph");
  static std::atomic<uint64_t> launches{0};
  return give(enqueue(stream, [graph, launch = ++launches] {
    const std::lock_guard one_at_a_time(*graph->running);
    for (const size_t node : graph->order(launch)) graph->nodes[node].task();
  }));
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  EMULATION_ENTER();
  return destroy_graph(graph) ? cudaSuccess : give(cudaErrorInvalidValue);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  EMULATION_ENTER();
  return destroy_executable(executable) ? cudaSuccess : give(cudaErrorInvalidValue);
}
