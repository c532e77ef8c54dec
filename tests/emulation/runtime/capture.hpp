#pragma once
// Graphs: what a captured stream would have done, as nodes with what each of them waits for.
//
// A launch carries out the nodes one after the other, in an order that the seed draws among those
// that the edges allow: a missing edge shows sooner or later.

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace bitmill::fake_cuda {

struct Graph {
  // One launch at a time.
  std::shared_ptr<std::mutex> running = std::make_shared<std::mutex>();
  struct Node {
    std::function<void()> task;
    std::vector<size_t> after;  // nodes that come before it, by number
  };
  std::vector<Node> nodes;

  // All nodes, each after those that it waits for. `draw` makes each choice.
  std::vector<size_t> order(uint64_t draw) const;
};

// One capture that is under way, on one or several streams.
struct Capture {
  explicit Capture(uint64_t own_number) : number(own_number) {}

  const uint64_t number;
  std::mutex mutex;
  Graph graph;
  bool invalid = false;
};

// A place in a graph that is being captured: behind these nodes.
struct CapturePoint {
  std::shared_ptr<Capture> capture;  // null: none
  std::set<size_t> after;
};

// Adds a node behind `point`, which then is behind the node.
void add_node(CapturePoint& point, std::function<void()> task);

// Whether every node of the graph comes before `point`, directly or not.
bool all_before(const CapturePoint& point);

}  // namespace bitmill::fake_cuda
