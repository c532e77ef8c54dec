#include "schedule/planner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/error.hpp"
#include "schedule/rank_memory.hpp"

namespace bitmill {
namespace {

// More stages than turns or blocks would have nothing to do.
int most_stages(const PlanRequest& request) {
  const int turns = request.work.epochs / request.work.lag;
  return std::min({request.work.blocks, turns, request.ranks});
}

// More replicas than a batch has samples would have nothing to do.
int most_replicas(const PlanRequest& request, int stages) {
  return static_cast<int>(std::min<int64_t>(request.work.batch, request.ranks / stages));
}

MemoryLimits memory_limits(const PlanRequest& request) {
  const int64_t computing = request.machine.memory_bytes;
  if (request.machine.own_device()) return {request.memory_limit, computing};
  return {request.memory_limit > 0 ? request.memory_limit : computing, 0};
}

// A wavefront holds streams for as many blocks as there are turns. It is not tried when no memory
// limit is known (of a device alone: Search::fills_unknown_host()).
std::vector<Walk> walks(const PlanRequest& request, int stages) {
  if (request.walk != Walk::automatic) return {request.walk};
  const int turns = request.work.epochs / request.work.lag;
  const MemoryLimits limits = memory_limits(request);
  if (limits.host == 0 && limits.device == 0) return {Walk::sweep};
  if (band_width(Walk::sweep, stages, turns) == turns) return {Walk::sweep};
  return {Walk::sweep, Walk::wavefront};
}

// Seconds that a rank of the stage works; waiting does not count.
double busy_seconds(const Plan& plan, int stage, const PlanCosts& costs) {
  double seconds = 0;
  for (const Action& action : plan.stages[static_cast<size_t>(stage)]) {
    seconds += action_seconds(plan, costs, action);
  }
  return seconds;
}

Plan plan_for(const Workload& work, int stages, Walk walk) {
  return make_plan(work.blocks, work.epochs, work.lag, stages, walk);
}

// Simulates with the machine's rates. The checks of a run do not know these rates and use
// simulate_training(). Takes the larger memory of both: what fits here is not refused there.
Simulation simulate_with_memory(const Plan& plan, const PlanCosts& costs) {
  Simulation simulation = simulate(plan, costs);
  const Simulation training = simulate_training(plan, costs);
  for (size_t stage = 0; stage < simulation.stages.size(); ++stage) {
    SimulatedStage& one = simulation.stages[stage];
    const SimulatedStage& other = training.stages[stage];
    one.peak_stream_bytes = std::max(one.peak_stream_bytes, other.peak_stream_bytes);
    one.peak_bytes = std::max(one.peak_bytes, other.peak_bytes);
    one.host_bytes = std::max(one.host_bytes, other.host_bytes);
  }
  return simulation;
}

// Tries meshes, and keeps the one that ends soonest and fits.
class Search {
 public:
  explicit Search(const PlanRequest& request)
      : request_(request), limits_(memory_limits(request)) {}

  struct Found {
    Mesh mesh;
    Walk walk = Walk::sweep;
    bool save_beside = false;
    double makespan_s = 0;
  };
  const std::optional<Found>& best() const { return best_; }
  // The smallest memory that any tried mesh needs, and what to lower. Valid while none has fitted.
  std::string why_nothing_fits() const {
    if (limits_.device > 0 && least_device_ > limits_.device) {
      return fmt::format(
          "no mesh of {} ranks fits {} bytes of a device; the smallest that would is {} bytes, {} "
          "of it temporary memory of attention: {}; a shorter --seq-len takes less{}; streams are "
          "not in it, they go to the host by themselves",
          request_.ranks, limits_.device, least_device_, request_.work.device.attention_bytes,
          request_.device_limit_given ? "raise --device-memory-limit"
                                      : "take a table of a larger GPU (--hardware)",
          request_.machine.weight_bytes == 4 ? ", and bfloat16 less than float32" : "");
    }
    return fmt::format(
        "no mesh of {} ranks fits {} bytes a rank{}; the smallest memory that would "
        "is {} bytes (--memory-limit {}){}",
        request_.ranks, limits_.host, request_.machine.own_device() ? " on its host" : "",
        least_host_, least_host_,
        request_.work.stream_memory > 0
            ? ""
            : "; with --stream-memory, streams go to the scratch folder");
  }

  // Tries all numbers of replicas. The plan is the same for all of them.
  void look_at(int stages, Walk walk) {
    const Plan plan = plan_for(request_.work, stages, walk);
    for (int replicas = most_replicas(request_, stages); replicas >= 1; --replicas) {
      look_at(plan, {stages, replicas}, walk);
    }
  }

 private:
  void look_at(const Plan& plan, const Mesh& mesh, Walk walk) {
    const Workload& work = request_.work;
    const Machine& machine = request_.machine;
    // Stage 0 has the most blocks, and no plan can end before stage 0 has done its work. With this
    // check nearly all numbers of replicas need no simulation.
    const PlanCosts busiest = plan_costs_on(request_.node, work, machine, mesh, mesh.replicas - 1);
    if (best_ && busy_seconds(plan, 0, busiest) > best_->makespan_s) return;
    if (work.save_beside && fits(plan, mesh, walk, true)) return;
    fits(plan, mesh, walk, false);
  }

  // False when it needs too much memory. Keeps the best.
  bool fits(const Plan& plan, const Mesh& mesh, Walk walk, bool save_beside) {
    Workload work = request_.work;
    work.save_beside = save_beside;
    const PlanCosts costs = stage_costs_on(request_.node, work, request_.machine, mesh);
    const Simulation simulation = simulate_with_memory(plan, costs);
    least_host_ = std::min(simulation.host_bytes(), least_host_);
    least_device_ = std::min(simulation.peak_bytes(), least_device_);
    if (!find_memory_fault(simulation, costs, limits_).empty()) return false;
    if (walk == Walk::wavefront && fills_unknown_host(simulation, costs)) return false;
    const Found found{mesh, walk, save_beside, simulation.makespan_s};
    if (!best_ || is_better(found, *best_)) best_ = found;
    return true;
  }

  // Whether streams lie on a host of which no limit is known. A sweep holds the fewest, and is
  // taken all the same; so is a wavefront that was asked for.
  bool fills_unknown_host(const Simulation& simulation, const PlanCosts& costs) const {
    if (!costs.own_device || limits_.host > 0 || request_.walk != Walk::automatic) return false;
    return std::ranges::any_of(simulation.stages, [&](const SimulatedStage& stage) {
      return stream_tiers(costs, stage.peak_stream_bytes).device < stage.peak_stream_bytes;
    });
  }

  static bool is_better(const Found& one, const Found& other) {
    if (one.makespan_s != other.makespan_s) return one.makespan_s < other.makespan_s;
    return one.mesh.ranks() < other.mesh.ranks();
  }

  const PlanRequest& request_;
  const MemoryLimits limits_;
  std::optional<Found> best_;
  int64_t least_host_ = INT64_MAX, least_device_ = INT64_MAX;
};

// The machine without the time for links and disks.
Machine only_computing(Machine machine) {
  machine.link_bytes_per_s = std::numeric_limits<double>::infinity();
  machine.read_bytes_per_s = machine.write_bytes_per_s = machine.link_bytes_per_s;
  machine.link_latency_s = machine.write_latency_s = 0;
  return machine;
}

// The forecast of a rank beyond the mesh. It holds the memory of its process and does nothing.
RankForecast idle_rank(const Machine& machine, int rank) {
  RankForecast idle;
  idle.rank = rank;
  idle.peak_bytes = machine.fixed_bytes;
  idle.host_bytes = machine.own_device() ? machine.host_fixed_bytes : machine.fixed_bytes;
  return idle;
}

// The forecast of a rank in the mesh, with its own costs. REQUIRES: `whole` is simulated.
RankForecast rank_at_work(const PlanRequest& request, const Forecast& whole, const PlanCosts& own,
                          int number) {
  const Workload& work = request.work;
  const int stage = whole.mesh.stage_of_rank(number);
  const SimulatedStage& busiest = whole.simulation.stages[static_cast<size_t>(stage)];
  const std::vector<Action>& actions = whole.plan.stages[static_cast<size_t>(stage)];
  RankForecast rank = idle_rank(request.machine, number);
  if (actions.empty()) return rank;
  // The rank holds as many streams as the busiest replica, each with its own number of bytes.
  const auto own_part = [&](int64_t bytes) {
    return bytes / std::max<int64_t>(1, whole.costs.stream_bytes) * own.stream_bytes;
  };
  const int64_t streams = own_part(busiest.peak_stream_bytes);
  const bool assembles = number == 0;
  rank.peak_bytes = rank_peak_bytes(own, streams, assembles);
  rank.host_bytes = rank_host_bytes(own, streams, assembles);
  rank.device_stream_bytes = stream_tiers(own, streams).device;
  rank.scratch_bytes = stream_tiers(own, streams).scratch;
  rank.sent_bytes = own_part(busiest.sent_bytes);
  const int64_t trainings = std::ranges::count(actions, ActionKind::train, &Action::kind);
  rank.exchanged_bytes = trainings * whole.plan.lag * work.steps_per_epoch() *
                         exchange_bytes(work, whole.mesh.replicas);
  rank.busy_s = busy_seconds(whole.plan, stage, own);
  return rank;
}

// The forecast without `ranks`.
Forecast simulated(const PlanRequest& request, const Mesh& mesh, Walk walk) {
  Forecast result;
  result.mesh = mesh;
  result.walk = walk;
  result.save_beside = request.work.save_beside;
  result.plan = plan_for(request.work, mesh.stages, walk);
  result.costs = stage_costs_on(request.node, request.work, request.machine, mesh);
  result.ends = end_costs(request.work, request.machine, request.ranks);
  result.simulation = simulate_with_memory(result.plan, result.costs);
  return result;
}

}  // namespace

int64_t Forecast::peak_bytes() const { return simulation.peak_bytes(); }
int64_t Forecast::host_bytes() const { return simulation.host_bytes(); }

double Forecast::idle_fraction() const {
  double busy = 0;
  for (const RankForecast& rank : ranks) busy += rank.busy_s;
  const double all = simulation.makespan_s * static_cast<double>(ranks.size());
  return all > 0 ? std::max(0.0, 1 - busy / all) : 0;  // rounding could give less than 0
}

LinksUsed links_used(const PlanRequest& request, const Forecast& forecast) {
  const LinkRates rates = link_rates(request.machine, request.node, forecast.mesh);
  LinksUsed used{{0, rates.streams}, {0, rates.sums}};
  const Machine computing = only_computing(request.machine);
  for (const RankForecast& rank : forecast.ranks) {
    if (!forecast.mesh.contains(rank.rank)) continue;
    const PlanCosts costs = plan_costs(request.work, computing, forecast.mesh,
                                       forecast.mesh.replica_of_rank(rank.rank));
    const double seconds =
        busy_seconds(forecast.plan, forecast.mesh.stage_of_rank(rank.rank), costs);
    if (seconds <= 0) continue;
    used.streams.bytes_per_s =
        std::max(used.streams.bytes_per_s, static_cast<double>(rank.sent_bytes) / seconds);
    used.sums.bytes_per_s =
        std::max(used.sums.bytes_per_s, static_cast<double>(rank.exchanged_bytes) / seconds);
  }
  return used;
}

Forecast forecast(const PlanRequest& request, const Mesh& mesh, Walk walk) {
  Forecast result = simulated(request, mesh, walk);
  std::vector<PlanCosts> own;  // by replica
  own.reserve(static_cast<size_t>(mesh.replicas));
  for (int replica = 0; replica < mesh.replicas; ++replica) {
    own.push_back(plan_costs_on(request.node, request.work, request.machine, mesh, replica));
  }
  for (int rank = 0; rank < request.ranks; ++rank) {
    result.ranks.push_back(mesh.contains(rank)
                               ? rank_at_work(request, result,
                                              own[static_cast<size_t>(mesh.replica_of_rank(rank))],
                                              rank)
                               : idle_rank(request.machine, rank));
  }
  return result;
}

Forecast choose_plan(const PlanRequest& request) {
  BITMILL_CHECK(request.stages <= 0 || request.ranks % request.stages == 0, UsageError,
                fmt::format("--stages {} does not divide {} ranks into equal groups; start a "
                            "multiple of {} ranks, or leave --stages out",
                            request.stages, request.ranks, request.stages));
  Search search(request);
  const int first = request.stages > 0 ? request.stages : 1;
  const int last = request.stages > 0 ? request.stages : most_stages(request);
  for (int stages = first; stages <= last; ++stages) {
    for (const Walk walk : walks(request, stages)) search.look_at(stages, walk);
  }
  BITMILL_CHECK(search.best(), UsageError, search.why_nothing_fits());
  PlanRequest chosen = request;
  chosen.work.save_beside = search.best()->save_beside;
  return forecast(chosen, search.best()->mesh, search.best()->walk);
}

}  // namespace bitmill
