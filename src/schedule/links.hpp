#pragma once
// The links between ranks: which kind joins those that send to each other in a mesh, what goes over
// it, and whether it binds (LINKS.md).

#include "schedule/cost_model.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

// Ranks fill a node before the next one begins. Within a node they have faster links.
struct NodeLinks {
  int ranks = 0;           // of a node; 0: not known, and every link is Machine's
  double bytes_per_s = 0;  // to another rank of the node
};

// Bytes a second of the slowest link that is used.
struct LinkRates {
  double streams = 1;  // to the same replica of the next stage
  double sums = 1;     // among the replicas of a stage
  bool streams_in_node = false, sums_in_node = false;
};
LinkRates link_rates(const Machine& machine, const NodeLinks& node, const Mesh& mesh);

// plan_costs() and stage_costs() with these links.
PlanCosts plan_costs_on(const NodeLinks& node, const Workload& work, const Machine& machine,
                        const Mesh& mesh, int replica);
PlanCosts stage_costs_on(const NodeLinks& node, const Workload& work, const Machine& machine,
                         const Mesh& mesh);

// What a rank sends over a link.
struct LinkUse {
  double bytes_per_s = 0;  // for each second in which it computes; links and disks cost none
  double rate = 1;         // of the link, bytes a second

  double part() const { return bytes_per_s / rate; }
  // The link needs longer than the computing.
  bool binds() const { return part() >= 1; }
};

}  // namespace bitmill
