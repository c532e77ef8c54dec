// Streams that are captured into graphs.

#include "emulation/conformance/check.hpp"
#include "emulation/conformance/owners.hpp"

namespace conformance {
namespace {

class Graph {
 public:
  // Captures what `fill` puts onto the stream.
  template <typename Fill>
  Graph(const Stream& stream, Fill fill) {
    MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    fill();
    MUST(cudaStreamEndCapture(stream, &graph_));
    MUST(cudaGraphInstantiate(&executable_, graph_, 0));
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    cudaGraphExecDestroy(executable_);
    cudaGraphDestroy(graph_);
  }
  void launch(const Stream& stream) const { MUST(cudaGraphLaunch(executable_, stream)); }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace

CONFORMS(graphs, "What is captured is done at each launch, and not before") {
  const Stream stream;
  PinnedMemory<int> source(64, 1), target(64, 0);
  DeviceMemory<int> memory(64, 9);
  const Graph graph(stream, [&] {
    MUST(cudaMemcpyAsync(memory.get(), source.get(), 256, cudaMemcpyHostToDevice, stream));
    MUST(cudaMemcpyAsync(target.get(), memory.get(), 256, cudaMemcpyDeviceToHost, stream));
  });
  MUST(cudaStreamSynchronize(stream));
  EXPECT_SAME(target[0], 0);
  for (int round = 1; round <= 3; ++round) {
    source[63] = round;
    graph.launch(stream);
    MUST(cudaStreamSynchronize(stream));
    EXPECT_SAME(target[63], round);
  }
}

CONFORMS(graphs, "Branches that events open and close are part of the graph, in their order") {
  const Stream stream, branch;
  const Event fork(cudaEventDisableTiming), join(cudaEventDisableTiming);
  DeviceMemory<int> left(64, 0), right(64, 0);
  PinnedMemory<int> back(128, 0);
  const Graph graph(stream, [&] {
    MUST(cudaMemsetAsync(left.get(), 1, 256, stream));
    MUST(cudaEventRecord(fork, stream));
    MUST(cudaStreamWaitEvent(branch, fork, 0));
    MUST(cudaMemcpyAsync(right.get(), left.get(), 256, cudaMemcpyDeviceToDevice, branch));
    MUST(cudaEventRecord(join, branch));
    MUST(cudaStreamWaitEvent(stream, join, 0));
    MUST(cudaMemcpyAsync(back.get(), right.get(), 256, cudaMemcpyDeviceToHost, stream));
  });
  for (int round = 0; round < 4; ++round) {
    back[63] = 0;
    MUST(cudaMemset(right.get(), 0, 256));
    MUST(cudaDeviceSynchronize());
    graph.launch(stream);
    MUST(cudaStreamSynchronize(stream));
    EXPECT_SAME(back[63], 0x01010101);
  }
}

CONFORMS(graphs, "A branch that does not come back is an error") {
  const Stream stream, branch;
  const Event fork(cudaEventDisableTiming);
  DeviceMemory<int> memory(64, 0);
  MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  MUST(cudaEventRecord(fork, stream));
  MUST(cudaStreamWaitEvent(branch, fork, 0));
  MUST(cudaMemsetAsync(memory.get(), 1, 256, branch));
  cudaGraph_t graph = nullptr;
  EXPECT_SAME(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureUnjoined);
  EXPECT(graph == nullptr);
}

CONFORMS(graphs, "Waiting for a stream that is captured breaks the capture") {
  const Stream stream;
  DeviceMemory<int> memory(64, 0);
  MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  MUST(cudaMemsetAsync(memory.get(), 1, 256, stream));
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  MUST(cudaStreamIsCapturing(stream, &status));
  EXPECT_SAME(status, cudaStreamCaptureStatusActive);
  EXPECT_SAME(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  MUST(cudaStreamIsCapturing(stream, &status));
  EXPECT_SAME(status, cudaStreamCaptureStatusInvalidated);
  cudaGraph_t graph = nullptr;
  EXPECT_SAME(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  MUST(cudaStreamSynchronize(stream));
  EXPECT_SAME(memory.values()[0], 0);
}

CONFORMS(graphs, "The default stream is not captured") {
  EXPECT_SAME(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal),
              cudaErrorStreamCaptureUnsupported);
  const Stream stream;
  cudaGraph_t graph = nullptr;
  EXPECT_SAME(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
}

}  // namespace conformance
