#include "emulation/runtime/graph_table.hpp"

#include <map>
#include <mutex>
#include <utility>

#include "emulation/runtime/handles.hpp"

namespace bitmill::fake_cuda {
namespace {

using Kept = std::shared_ptr<const Graph>;

struct Table {
  std::mutex mutex;
  std::map<cudaGraph_t, Kept> graphs;
  std::map<cudaGraphExec_t, Kept> executables;
};
Table& table() {
  static auto* once = new Table;
  return *once;
}

template <typename Handle>
Kept find(const std::map<Handle, Kept>& all, Handle handle) {
  const std::lock_guard lock(table().mutex);
  const auto found = all.find(handle);
  return found == all.end() ? nullptr : found->second;
}

template <typename Handle>
Handle keep(std::map<Handle, Kept>& all, Kept graph) {
  const std::lock_guard lock(table().mutex);
  const auto handle = new_handle<Handle>();
  all[handle] = std::move(graph);
  return handle;
}

}  // namespace

cudaGraph_t keep_graph(Graph graph) {
  return keep(table().graphs, std::make_shared<const Graph>(std::move(graph)));
}
std::shared_ptr<const Graph> find_graph(cudaGraph_t handle) { return find(table().graphs, handle); }
bool destroy_graph(cudaGraph_t handle) {
  const std::lock_guard lock(table().mutex);
  return table().graphs.erase(handle) > 0;
}

cudaGraphExec_t keep_executable(std::shared_ptr<const Graph> graph) {
  return keep(table().executables, std::move(graph));
}
std::shared_ptr<const Graph> find_executable(cudaGraphExec_t handle) {
  return find(table().executables, handle);
}
bool destroy_executable(cudaGraphExec_t handle) {
  const std::lock_guard lock(table().mutex);
  return table().executables.erase(handle) > 0;
}

size_t live_graphs() {
  const std::lock_guard lock(table().mutex);
  return table().graphs.size() + table().executables.size();
}

}  // namespace bitmill::fake_cuda
