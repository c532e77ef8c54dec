#pragma once
// All graphs of the process, by handle. What can be launched is a copy of what was captured.

#include <cuda_runtime_api.h>

#include <memory>

#include "emulation/runtime/capture.hpp"

namespace bitmill::fake_cuda {

cudaGraph_t keep_graph(Graph graph);
std::shared_ptr<const Graph> find_graph(cudaGraph_t handle);
bool destroy_graph(cudaGraph_t handle);

cudaGraphExec_t keep_executable(std::shared_ptr<const Graph> graph);
std::shared_ptr<const Graph> find_executable(cudaGraphExec_t handle);
bool destroy_executable(cudaGraphExec_t handle);

// Of both kinds.
size_t live_graphs();

}  // namespace bitmill::fake_cuda
