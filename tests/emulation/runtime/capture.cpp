#include "emulation/runtime/capture.hpp"

#include <utility>

#include "emulation/runtime/rest.hpp"

namespace bitmill::fake_cuda {

std::vector<size_t> Graph::order(uint64_t draw) const {
  std::vector<size_t> waits_for(nodes.size()), ready, all;
  std::vector<std::vector<size_t>> behind(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    waits_for[i] = nodes[i].after.size();
    for (const size_t before : nodes[i].after) behind[before].push_back(i);
    if (waits_for[i] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {
    const size_t choice = drawn(draw, all.size()) % ready.size();
    const size_t node = ready[choice];
    ready.erase(ready.begin() + static_cast<std::ptrdiff_t>(choice));
    all.push_back(node);
    for (const size_t next : behind[node]) {
      if (--waits_for[next] == 0) ready.push_back(next);
    }
  }
  return all;
}

void add_node(CapturePoint& point, std::function<void()> task) {
  const std::lock_guard lock(point.capture->mutex);
  std::vector<Graph::Node>& nodes = point.capture->graph.nodes;
  nodes.push_back({std::move(task), {point.after.begin(), point.after.end()}});
  point.after = {nodes.size() - 1};
}

bool all_before(const CapturePoint& point) {
  const std::lock_guard lock(point.capture->mutex);
  const std::vector<Graph::Node>& nodes = point.capture->graph.nodes;
  std::vector<size_t> open(point.after.begin(), point.after.end());
  std::vector<bool> seen(nodes.size());
  size_t count = 0;
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    if (seen[node]) continue;
    seen[node] = true;
    ++count;
    open.insert(open.end(), nodes[node].after.begin(), nodes[node].after.end());
  }
  return count == nodes.size();
}

}  // namespace bitmill::fake_cuda
