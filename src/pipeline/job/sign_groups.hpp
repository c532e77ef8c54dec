#pragma once
// Which blocks' signs are trained when, where `tune` does not train those of all blocks at a time
// (METHOD.md, "Tuning"). It does not depend on stages or ranks.

#include <cstdint>

#include "schedule/reduction_tree.hpp"

namespace bitmill {

// A group is spread over the depth: of `count()` groups, group g has every block whose number
// leaves the remainder g. So every stage has its part of each group, as far as there are blocks.
struct SignGroups {
  int64_t blocks = 1;     // of the model
  int64_t at_a_time = 1;  // in a group, at most; 1 to `blocks`

  int64_t count() const;
  bool has(int64_t group, int64_t block) const { return block % count() == group; }
  // The most blocks that a group has on one of so many stages.
  int64_t most_in_stage(int stages) const;
  // The steps in which the signs of a group are trained: shares of all `steps`, as equal as can be,
  // one after the other. Steps count from 0.
  PositionRange steps_of(int64_t group, int64_t steps) const;
  // The group of a step.
  int64_t group_at(int64_t step, int64_t steps) const;
};

}  // namespace bitmill
