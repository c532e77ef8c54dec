#include "pipeline/job/sign_groups.hpp"

#include <algorithm>

#include "base/pieces.hpp"

namespace bitmill {

int64_t SignGroups::count() const { return piece_count(blocks, at_a_time); }

// A stage has neighbouring blocks, of which every count()th is in the group.
int64_t SignGroups::most_in_stage(int stages) const {
  return piece_count(piece_count(blocks, stages), count());
}

PositionRange SignGroups::steps_of(int64_t group, int64_t steps) const {
  return {group * steps / count(), (group + 1) * steps / count()};
}

int64_t SignGroups::group_at(int64_t step, int64_t steps) const {
  int64_t group = 0;
  while (group + 1 < count() && steps_of(group, steps).end <= step) ++group;
  return group;
}

}  // namespace bitmill
