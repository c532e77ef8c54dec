#pragma once
// What a plan takes, before it runs: every action given its seconds and bytes, every message its
// way. No clock and no device: the same plan and costs give the same answer.

#include <cstdint>
#include <vector>

#include "schedule/plan.hpp"

namespace bitmill {

// Of the busiest replica of a stage, whom the others wait for. Seconds, and bytes.
struct PlanCosts {
  double embed_s = 0;    // one stream
  double load_s = 0;     // weights read and widened
  double forward_s = 0;  // dense weights, all own samples
  double prepare_s = 0;  // mask, grid, signs, operands: made or restored
  double first_s = 0;    // beside that before the first turn of a block: statistics, descent
  double epoch_s = 0;    // all steps of an epoch, and saving the state
  double pack_s = 0;     // rounded and written

  double link_bytes_per_s = 1;  // between neighbouring stages, for one replica
  double link_latency_s = 0;

  int64_t fixed_bytes = 0;     // what a rank holds before it has work
  int64_t resident_bytes = 0;  // a block while it trains, and what its samples need meanwhile
  int64_t loaded_bytes = 0;    // a block before and after that
  int64_t stream_bytes = 0;    // one stream of the own samples
  int64_t stream_memory = 0;   // that all streams may take, the rest is scratch; 0: no limit
  // On rank 0 when all is trained: of the result on its way to disk, at a time, and its headers.
  int64_t assembly_bytes = 0;
  int64_t header_bytes = 0;
};

// Without waiting. Receives and sends take nothing else.
double action_seconds(const Plan& plan, const PlanCosts& costs, const Action& action);

struct SimulatedStage {
  std::vector<TimedAction> actions;
  double busy_s = 0;
  int64_t peak_bytes = 0;
  int64_t peak_stream_bytes = 0;
  int64_t left_over_bytes = 0;  // of streams that nobody let go: 0
  int64_t sent_bytes = 0;       // by one replica
};

struct Simulation {
  double makespan_s = 0;
  std::vector<SimulatedStage> stages;

  // Share of the stages' time in which they wait, fill and drain included.
  double idle_fraction() const;
  // Of the stage that needs most, on its busiest replica.
  int64_t peak_bytes() const;
  int64_t peak_stream_bytes() const;
};

// REQUIRES: the plan has no fault.
//
// A stage does one thing at a time; a message leaves when it is sent, the link before it is free
// and the receiver holds no other that it has not taken, and travels while both compute. A send
// waits while link_capacity earlier ones have not been taken. Streams count where they are from the
// moment in which they are made, or have left the sender, until nobody needs them.
Simulation simulate(const Plan& plan, const PlanCosts& costs);

// The same where nobody knows how fast the machine is: as if only training took time. Its bytes are
// those of `costs`.
Simulation simulate_training(const Plan& plan, const PlanCosts& costs);

}  // namespace bitmill
