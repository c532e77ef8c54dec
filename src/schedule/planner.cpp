#include "schedule/planner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.hpp"

namespace bitmill {
namespace {

// With as many replicas as there are: more than a batch has samples would idle, and so would more
// stages than turns or blocks.
std::vector<Mesh> meshes(const PlanRequest& request) {
  const Workload& work = request.work;
  const int turns = work.epochs / work.lag;
  const int first = request.stages > 0 ? request.stages : 1;
  const int last =
      request.stages > 0 ? request.stages : std::min({work.blocks, turns, request.ranks});
  std::vector<Mesh> all;
  for (int stages = first; stages <= last; ++stages) {
    all.push_back(
        {stages, static_cast<int>(std::min<int64_t>(work.batch, request.ranks / stages))});
  }
  return all;
}

int64_t memory_limit(const PlanRequest& request) {
  return request.memory_limit > 0 ? request.memory_limit : request.machine.memory_bytes;
}

// A wavefront holds streams for as many blocks as there are turns: it is no choice where nobody has
// said what there is to hold them.
std::vector<Walk> walks(const PlanRequest& request, const Mesh& mesh) {
  if (request.walk != Walk::automatic) return {request.walk};
  const int turns = request.work.epochs / request.work.lag;
  if (memory_limit(request) == 0) return {Walk::sweep};
  if (band_width(Walk::sweep, mesh.stages, turns) == turns) return {Walk::sweep};
  return {Walk::sweep, Walk::wavefront};
}

// What a rank does of the plan, whoever it waits for.
double busy_seconds(const Plan& plan, int stage, const PlanCosts& costs) {
  double seconds = 0;
  for (const Action& action : plan.stages[static_cast<size_t>(stage)]) {
    seconds += action_seconds(plan, costs, action);
  }
  return seconds;
}

// Without the single ranks.
Forecast simulated(const PlanRequest& request, const Mesh& mesh, Walk walk) {
  const Workload& work = request.work;
  Forecast result;
  result.mesh = mesh;
  result.walk = walk;
  result.plan = make_plan(work.blocks, work.epochs, work.lag, mesh.stages, walk);
  result.costs = plan_costs(work, request.machine, mesh, mesh.replicas - 1);
  result.ends = end_costs(work, request.machine, request.ranks);
  result.simulation = simulate(result.plan, result.costs);
  return result;
}

}  // namespace

int64_t Forecast::peak_bytes() const {
  int64_t most = 0;
  for (const SimulatedStage& stage : simulation.stages) most = std::max(most, stage.peak_bytes);
  return most;
}

double Forecast::idle_fraction() const {
  double busy = 0;
  for (const RankForecast& rank : ranks) busy += rank.busy_s;
  const double all = simulation.makespan_s * static_cast<double>(ranks.size());
  return all > 0 ? std::max(0.0, 1 - busy / all) : 0;  // sums are rounded
}

Forecast forecast(const PlanRequest& request, const Mesh& mesh, Walk walk) {
  Forecast result = simulated(request, mesh, walk);
  for (int rank = 0; rank < request.ranks; ++rank) {
    result.ranks.push_back({rank, request.machine.fixed_bytes, 0});
  }
  for (int replica = 0; replica < mesh.replicas; ++replica) {
    const PlanCosts own = plan_costs(request.work, request.machine, mesh, replica);
    for (int stage = 0; stage < mesh.stages; ++stage) {
      const SimulatedStage& most = result.simulation.stages[static_cast<size_t>(stage)];
      // It holds as many streams as the busiest, of its own length.
      const int64_t less = result.costs.stream_bytes - own.stream_bytes;
      const int64_t streams =
          most.peak_stream_bytes / std::max<int64_t>(1, result.costs.stream_bytes);
      RankForecast& rank = result.ranks[static_cast<size_t>(mesh.rank_of(stage, replica))];
      rank.peak_bytes = most.peak_bytes - streams * less;
      rank.busy_s = busy_seconds(result.plan, stage, own);
    }
  }
  return result;
}

Forecast choose_plan(const PlanRequest& request) {
  BITMILL_CHECK(request.stages <= 0 || request.ranks % request.stages == 0, UsageError,
                fmt::format("--stages {} does not divide {} ranks into equal groups; start a "
                            "multiple of {} ranks, or leave --stages out",
                            request.stages, request.ranks, request.stages));
  const int64_t limit = memory_limit(request);
  std::optional<Forecast> best;
  std::optional<int64_t> least;
  for (const Mesh& mesh : meshes(request)) {
    for (const Walk walk : walks(request, mesh)) {
      Forecast one = simulated(request, mesh, walk);
      const int64_t peak = one.peak_bytes();
      if (!least || peak < *least) least = peak;
      if (limit > 0 && peak > limit) continue;
      const bool better =
          !best || one.makespan_s() < best->makespan_s() ||
          (one.makespan_s() == best->makespan_s() && mesh.ranks() < best->mesh.ranks());
      if (better) best = std::move(one);
    }
  }
  BITMILL_CHECK(best, UsageError,
                fmt::format("no mesh of {} ranks fits {} bytes a rank; the smallest memory that "
                            "would is {} bytes (--memory-limit {})",
                            request.ranks, limit, least.value_or(0), least.value_or(0)));
  return forecast(request, best->mesh, best->walk);
}

}  // namespace bitmill
