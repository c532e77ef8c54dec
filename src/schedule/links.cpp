#include "schedule/links.hpp"

namespace bitmill {
namespace {

// The cost model knows one rate, that of sums; streams have theirs in PlanCosts.
Machine with_rate_of_sums(Machine machine, const LinkRates& rates) {
  machine.link_bytes_per_s = rates.sums;
  return machine;
}

}  // namespace

LinkRates link_rates(const Machine& machine, const NodeLinks& node, const Mesh& mesh) {
  LinkRates rates{machine.link_bytes_per_s, machine.link_bytes_per_s};
  if (node.ranks == 0) return rates;
  // The last stage sends to the first one.
  rates.streams_in_node = mesh.ranks() <= node.ranks;
  // The replicas of a stage have consecutive ranks.
  rates.sums_in_node = rates.streams_in_node || node.ranks % mesh.replicas == 0;
  if (rates.streams_in_node) rates.streams = node.bytes_per_s;
  if (rates.sums_in_node) rates.sums = node.bytes_per_s;
  return rates;
}

PlanCosts plan_costs_on(const NodeLinks& node, const Workload& work, const Machine& machine,
                        const Mesh& mesh, int replica) {
  const LinkRates rates = link_rates(machine, node, mesh);
  PlanCosts costs = plan_costs(work, with_rate_of_sums(machine, rates), mesh, replica);
  costs.link_bytes_per_s = rates.streams;
  return costs;
}

PlanCosts stage_costs_on(const NodeLinks& node, const Workload& work, const Machine& machine,
                         const Mesh& mesh) {
  const LinkRates rates = link_rates(machine, node, mesh);
  PlanCosts costs = stage_costs(work, with_rate_of_sums(machine, rates), mesh);
  costs.link_bytes_per_s = rates.streams;
  return costs;
}

}  // namespace bitmill
