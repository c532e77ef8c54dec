#pragma once
// Finds the mesh and the walk with which a job ends soonest on a given number of ranks, within
// their memory; and makes the forecast.

#include <cstdint>
#include <vector>

#include "schedule/cost_model.hpp"
#include "schedule/links.hpp"
#include "schedule/plan.hpp"

namespace bitmill {

struct PlanRequest {
  Workload work;
  Machine machine;
  NodeLinks node;
  int ranks = 1;
  int stages = 0;  // 0: any
  Walk walk = Walk::automatic;
  // Bytes of a rank on its host; 0: the machine's, where device and host are one memory, else none.
  // The limit of a device with memory of its own is the machine's.
  int64_t memory_limit = 0;
  bool device_limit_given = false;  // that limit is --device-memory-limit, not that of a table
};

// Bytes that are held: the maximum over time. Bytes that are sent or exchanged: the sum over the
// run.
struct RankForecast {
  int rank = 0;
  int64_t peak_bytes = 0;           // where it computes, while blocks are trained
  int64_t host_bytes = 0;           // on its host; equal to peak_bytes where both are one memory
  int64_t device_stream_bytes = 0;  // of peak_bytes, where the device has memory of its own
  int64_t scratch_bytes = 0;        // streams beyond their limit, in the scratch folder
  int64_t sent_bytes = 0;           // to the same replica of the next stage
  int64_t exchanged_bytes = 0;      // with the other replicas of its stage, each way
  double busy_s = 0;
};

struct Forecast {
  Mesh mesh;
  Walk walk = Walk::sweep;
  bool save_beside = false;  // as in Workload
  Plan plan;
  PlanCosts costs;  // of a stage
  EndCosts ends;
  Simulation simulation;
  std::vector<RankForecast> ranks;  // all ranks of the job, idle ones too

  // Seconds from the launch to the end.
  double makespan_s() const { return ends.before_s + simulation.makespan_s + ends.after_s; }
  int64_t peak_bytes() const;    // of the rank that needs most
  int64_t host_bytes() const;    // the same on its host
  double idle_fraction() const;  // of all ranks' time, while the plan is carried out
};

// Of the rank for which it is the largest part of its link: streams travel while it computes, sums
// while it waits for them.
struct LinksUsed {
  LinkUse streams, sums;
};
LinksUsed links_used(const PlanRequest& request, const Forecast& forecast);

// The forecast of one mesh and walk, with the states saved as request.work says.
Forecast forecast(const PlanRequest& request, const Mesh& mesh, Walk walk);

// The forecast that ends soonest, of all that fit into memory, over all numbers of stages and
// replicas. Fewer replicas may be faster, when they divide a batch evenly. Of equal ones, the
// forecast with the fewest ranks. Without a memory limit only sweeps are tried, which hold the
// fewest streams; where the limit of a device is known and that of its host is not, also wavefronts
// whose streams all fit the device. Where request.work says that states are saved beside training,
// and there is no memory for the copy, they are saved between epochs. UsageError when the requested
// stages do not divide the ranks, or when nothing fits; the message then says the smallest memory
// that would.
Forecast choose_plan(const PlanRequest& request);

}  // namespace bitmill
