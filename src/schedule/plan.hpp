#pragma once
// A plan is data: the actions of every stage, in order. Planning reads no clock, no device and no
// file, so every plan can be printed, checked, simulated, and executed by a fake.
//
// Turn (l, k), k = 0 .. epochs/lag - 1, trains block l for `lag` epochs. It needs turn (l, k-1) and
// the student's stream that turn (l-1, k) produced. A plan visits it once: the block is loaded,
// does the turn, hands its stream on and is dropped, so that one block is resident at a time.
//
// Turns walk through the depth in bands: turns [b, b + width) together, one a block behind the
// other, then the next band. What the teacher makes of a block is computed with the first turn of
// a band and kept for the others. A wavefront is one band of all turns; a sweep is as wide as
// there are stages, which keeps them all busy and the targets of one block in memory.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "schedule/action.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

enum class Walk { automatic, wavefront, sweep };
const char* word_of(Walk walk);  // "auto", "wavefront", "sweep"

// Turns of a band. `walk` is not automatic.
int band_width(Walk walk, int stages, int turns);

struct Plan {
  int blocks = 0;
  int epochs = 0;
  int lag = 0;
  int band = 1;           // turns that walk together
  int link_capacity = 1;  // sends that a stage may be ahead of the stage that receives them
  std::vector<std::vector<Action>> stages;  // of every replica of a stage

  int turns() const { return epochs / lag; }
  int stage_count() const { return static_cast<int>(stages.size()); }
  int stage_of_block(int block) const { return block % stage_count(); }
  // The streams of a turn leave the stage when its block has handed them on.
  bool sends(int block) const { return stage_count() > 1 && block + 1 < blocks; }
  // The teacher's stream travels with this turn, and its targets are computed at it.
  bool begins_band(int turn) const { return turn % band == 0; }
  int band_begin(int turn) const { return turn - turn % band; }
  int band_end(int turn) const {
    return band_begin(turn) + band < turns() ? band_begin(turn) + band : turns();
  }
};

// UsageError when lag does not divide epochs; it names the two nearest divisors.
void check_lag(int epochs, int lag);

// The last block's stream has no reader but the report on the finished model, so that block
// forwards in the last turn only. UsageError from check_lag(), and for counts below 1.
Plan make_plan(int blocks, int epochs, int lag, int stages, Walk walk);

// Empty when the plan is executable and complete; otherwise the first thing that is wrong, in
// words: an action on a block that is not resident, or not on its stage; a turn out of order; a
// stream that was not handed on, or received in another order than sent; stages that wait for each
// other for ever when no link holds more than link_capacity sends; a block that is never committed
// or leaves memory with unpacked work; two blocks resident at once. A forward that nobody reads is
// waste, not a fault. Defined in find_fault.cpp.
std::string find_fault(const Plan& plan);

// Files of live state that the run folder holds at once, at most. A block has one from its first
// epoch until its last turn is packed, which is nearly all the time where a band is narrower than
// all turns; and each of those that train side by side may be writing the next one beside it.
int live_files(const Plan& plan);

// Tokens separated by blanks, one line per block visit; with several stages, each below a line
// "stage 0:". For people and for tests.
std::string draw(const Plan& plan);

// The divisors of `epochs` nearest to `lag`: the largest that is at most lag (or 1), the smallest
// that is at least lag (or `epochs`). epochs >= 1.
std::pair<int, int> nearest_divisors(int epochs, int lag);

}  // namespace bitmill
