#pragma once
// Simulates a plan before it runs: when every action and every message begins and ends, and how
// many bytes are held. Uses no clock and no device: the same plan and costs give the same answer.

#include <cstdint>
#include <vector>

#include "schedule/plan.hpp"

namespace bitmill {

// Seconds and bytes of the busiest replica of a stage; the others wait for it.
struct PlanCosts {
  double embed_s = 0;    // to make one stream
  double load_s = 0;     // to read and widen the weights
  double forward_s = 0;  // with dense weights, for all own samples
  double prepare_s = 0;  // to make or restore mask, grid, signs, operands
  double first_s = 0;    // in addition, before a block's first turn: statistics, descent
  double epoch_s = 0;    // all steps of an epoch, and what saving the state adds
  double pack_s = 0;     // to round and write

  double link_bytes_per_s = 1;  // between neighbouring stages, for one replica
  double link_latency_s = 0;

  int64_t fixed_bytes = 0;       // that a rank holds before it has work
  int64_t host_fixed_bytes = 0;  // the same on its host, where the device has memory of its own
  int64_t resident_bytes = 0;    // of a block while it trains, with what its samples need then
  int64_t loaded_bytes = 0;      // of a block before and after that
  int64_t stream_bytes = 0;      // of one stream of the own samples
  int64_t stream_memory = 0;  // that streams may take on the host, the rest is scratch; 0: no limit
  // On rank 0 after training: what it holds at once of the result's data, and all its headers.
  int64_t assembly_bytes = 0;
  int64_t header_bytes = 0;

  // Where the device has memory of its own, the bytes of a rank and of a block above are those of
  // the device, and streams lie there as far as there is room.
  bool own_device = false;
  int64_t device_stream_memory = 0;  // that streams and arriving samples may take on the device
  int64_t arriving_bytes = 0;        // of samples from the host, where not all lie on the device
  int64_t host_bytes = 0;            // that a rank with work holds on its host beside streams
};

// Seconds of an action without waiting; 0 for receive and send.
double action_seconds(const Plan& plan, const PlanCosts& costs, const Action& action);

struct SimulatedStage {
  std::vector<TimedAction> actions;
  double busy_s = 0;
  int64_t peak_bytes = 0;  // where the rank computes
  int64_t host_bytes = 0;  // on its host; equal to peak_bytes where both are one memory
  int64_t peak_stream_bytes = 0;
  int64_t left_over_bytes = 0;  // of streams that are still held at the end: must be 0
  int64_t sent_bytes = 0;       // by one replica
};

struct Simulation {
  double makespan_s = 0;
  std::vector<SimulatedStage> stages;

  // The fraction of the stages' time in which they wait, also at the beginning and the end.
  double idle_fraction() const;
  // Maximum over the stages, on the busiest replica.
  int64_t peak_bytes() const;
  int64_t host_bytes() const;
  int64_t peak_stream_bytes() const;
};

// REQUIRES: the plan has no fault.
//
// A stage does one action at a time. A message leaves when it was sent, and when the receiver has
// taken the message before it. It travels while both stages compute. A send waits while
// link_capacity earlier messages have not been taken. A stream counts on a stage from the moment
// when it is made there, or begins to travel there, until nobody needs it there.
Simulation simulate(const Plan& plan, const PlanCosts& costs);

// The same for a machine whose speed is not known: only training takes time. The bytes are those of
// `costs`.
Simulation simulate_training(const Plan& plan, const PlanCosts& costs);

}  // namespace bitmill
