#pragma once
// A plan is data: the actions of every stage, in order. Planning reads no clock, no device and no
// file, so every plan can be printed, checked, simulated, and executed by a fake.
//
// Turn (l, k), k = 0 .. epochs/lag - 1, trains block l for `lag` epochs. It needs turn (l, k-1) and
// the student's stream that turn (l-1, k) produced. A plan visits it once: the block is loaded,
// does the turn, hands its stream on and is dropped, so that a stage holds one block at a time.
//
// Turns go through the blocks in bands. The turns [b, b + width) of a band go together, each one
// block behind the turn before it; then the next band begins. The teacher's outputs of a block are
// computed at the first turn of a band, and kept for its other turns. A wavefront is one band of
// all turns. In a sweep a band has as many turns as there are stages: that keeps all stages busy,
// and needs memory for the targets of one block only.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "schedule/action.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

enum class Walk { automatic, wavefront, sweep };
const char* word_of(Walk walk);  // "auto", "wavefront", "sweep"

// Number of turns in a band. REQUIRES: `walk` is not automatic.
int band_width(Walk walk, int stages, int turns);

struct Plan {
  int blocks = 0;
  int epochs = 0;
  int lag = 0;
  int band = 1;           // turns in a band
  int link_capacity = 1;  // sends that a stage may be ahead of the stage that receives them
  std::vector<std::vector<Action>> stages;  // [stages] actions of every replica of the stage

  int turns() const { return epochs / lag; }
  int stage_count() const { return static_cast<int>(stages.size()); }
  int stage_of_block(int block) const { return block % stage_count(); }
  // Whether the stage sends the streams of a turn away after `block` has handed them on.
  bool sends(int block) const { return stage_count() > 1 && block + 1 < blocks; }
  // Whether the teacher's stream travels with this turn, and the band's targets are computed at it.
  bool begins_band(int turn) const { return turn % band == 0; }
  int band_begin(int turn) const { return turn - turn % band; }
  int band_end(int turn) const {
    return band_begin(turn) + band < turns() ? band_begin(turn) + band : turns();
  }
};

// UsageError naming the two nearest divisors when lag does not divide epochs.
void check_lag(int epochs, int lag);

// The last block forwards in the last turn only: nothing reads its stream but the report on the
// finished model. UsageError from check_lag(), and for counts below 1.
Plan make_plan(int blocks, int epochs, int lag, int stages, Walk walk);

// Empty when the plan can be executed and is complete. Otherwise describes the first fault:
//  - an action on a block that is not resident, or is not on its stage;
//  - a turn out of order;
//  - a stream that was not handed on, or is received in another order than sent;
//  - stages that wait for each other for ever, with at most link_capacity sends on a link;
//  - a block that is never committed, or is dropped before its turn is packed;
//  - two blocks resident at once.
// A forward whose stream nobody reads is waste, but no fault. Defined in find_fault.cpp.
std::string find_fault(const Plan& plan);

// The largest number of live-state files in the run folder at once. A block has one from its first
// epoch until its last turn is packed. With more than one band that is nearly the whole run, so all
// blocks count. In addition, each block that trains at the same time may be writing its next file.
int live_files(const Plan& plan);

// The tokens of the plan, separated by blanks, one line per visit. With several stages, a line
// "stage 0:" stands above each one's visits. For people and for tests.
std::string draw(const Plan& plan);

// The divisors of `epochs` nearest to `lag`: the largest that is at most lag (or 1), the smallest
// that is at least lag (or `epochs`). epochs >= 1.
std::pair<int, int> nearest_divisors(int epochs, int lag);

}  // namespace bitmill
