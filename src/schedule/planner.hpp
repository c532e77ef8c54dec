#pragma once
// The mesh and the walk that carry out a recipe soonest on so many ranks, within their memory.

#include <cstdint>
#include <vector>

#include "schedule/cost_model.hpp"
#include "schedule/plan.hpp"

namespace bitmill {

struct PlanRequest {
  Workload work;
  Machine machine;
  int ranks = 1;
  int stages = 0;  // 0: any
  Walk walk = Walk::automatic;
  int64_t memory_limit = 0;  // bytes of a rank; 0: the machine's
};

// Bytes are the most at any time, those that move are of the whole run.
struct RankForecast {
  int rank = 0;
  int64_t peak_bytes = 0;       // of its device, while blocks are trained
  int64_t host_bytes = 0;       // of its host; the same where device and host are one memory
  int64_t scratch_bytes = 0;    // streams beyond their limit, in the scratch folder
  int64_t sent_bytes = 0;       // to its like of the next stage
  int64_t exchanged_bytes = 0;  // with the other replicas of its stage, each way
  double busy_s = 0;
};

struct Forecast {
  Mesh mesh;
  Walk walk = Walk::sweep;
  Plan plan;
  PlanCosts costs;  // of a stage
  EndCosts ends;
  Simulation simulation;
  std::vector<RankForecast> ranks;  // of the whole job: idle ones hold and do nothing

  // From the launch to the end.
  double makespan_s() const { return ends.before_s + simulation.makespan_s + ends.after_s; }
  int64_t peak_bytes() const;    // of the rank that needs most
  double idle_fraction() const;  // of all ranks that were given, while the plan is carried out
};

// The forecast of one mesh and walk.
Forecast forecast(const PlanRequest& request, const Mesh& mesh, Walk walk);

// The soonest of all that fit, of any number of stages and of replicas: fewer replicas may be
// sooner, where they share a batch evenly. Of equals, the one with the fewest ranks. Without a
// limit of memory only sweeps are tried, which hold the fewest streams. UsageError when request
// asks for stages that do not divide the ranks, or when nothing fits: it then says the smallest
// memory that would.
Forecast choose_plan(const PlanRequest& request);

}  // namespace bitmill
