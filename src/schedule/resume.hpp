#pragma once
// Which actions of a plan are still to be carried out after an earlier start got somewhere: pure
// data in, pure data out.

#include <cstdint>
#include <vector>

#include "schedule/plan.hpp"

namespace bitmill {

// How far earlier starts brought a block. `epochs` and `steps` are of its saved live state and
// count over its whole run; both are 0 where there is none.
struct BlockDone {
  int turns = 0;      // packed, from turn 0 on without a gap
  int epochs = 0;     // finished
  int64_t steps = 0;  // of the optimiser, those of an unfinished epoch included

  bool operator==(const BlockDone&) const = default;
};

// As `found`, or from scratch where the live state does not continue what is packed: turn k goes on
// from a state that has finished at least k lag epochs and at most (k + 1) lag.
BlockDone usable(const BlockDone& found, const Plan& plan);

enum class Manner {
  skip,    // nobody needs what it makes
  replay,  // its result is packed: load that instead of training, and hand the streams on
  full,
};

// One for every action of the plan. In each turn, blocks before the last one that is not packed
// must hand their streams on, and those behind it have no reader left.
std::vector<Manner> plan_resume(const Plan& plan, const std::vector<BlockDone>& done);

}  // namespace bitmill
