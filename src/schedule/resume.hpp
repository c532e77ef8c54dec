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

// What is left of the plan: every stage finds the same answers.
class Remaining {
 public:
  // One entry a block, each usable().
  Remaining(const Plan& plan, const std::vector<BlockDone>& done);

  // Of a turn of a block. Blocks before the last one that is not packed must hand the turn's
  // streams on, and those behind it have no reader left; the teacher's stream, which travels with
  // the first turn of a band, is needed for every turn of it.
  Manner visit(int block, int turn) const;
  // One for every action of the stage: the manner of the visit that it belongs to. A send is
  // skipped with the visit that would receive.
  std::vector<Manner> of_stage(int stage) const;
  // Whether a later turn of the band visits the block, so that its targets stay in memory.
  bool comes_back(int block, int turn) const;

 private:
  int last_unpacked(int turn) const;

  const Plan& plan_;
  const std::vector<BlockDone> done_;
  std::vector<int> last_;  // [turns] the last block with a reason to visit it; -1: none
};

}  // namespace bitmill
